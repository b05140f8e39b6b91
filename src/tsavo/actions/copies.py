"""Where a data subject's key stands in plain text, beside what was sealed."""

from __future__ import annotations

import mmap
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.redacting import subject_versions
from tsavo.registry import items_of, list_exports, list_queries

__all__ = ["copies_of"]

_PAGE: Final = 500
# Shorter keys stand everywhere, and mean nobody.
_LEAST_CHARACTERS: Final = 4
_ZIPPED: Final = frozenset({".xlsx", ".zip"})
_PARQUET: Final = ".parquet"


def copies_of(plane: ControlPlane, subject: str, folders: Iterable[Path]) -> dict[str, str]:
    """What still names a subject, and what to do about it.

    Parameters
    ----------
    folders
        Where files were written that people made: exports, logs.
    """
    found: dict[str, str] = {}
    if len(subject) >= _LEAST_CHARACTERS:
        needle = subject.encode()
        for folder in folders:
            for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
                if path.is_file() and not path.is_symlink() and _holds(path, subject, needle):
                    found[str(path)] = "delete the file, or what it says of the subject"
        with plane.database.read() as connection:
            for query in items_of(lambda offset: list_queries(connection, offset=offset, limit=_PAGE)):
                if subject in query.query or subject in query.description:
                    found[f"saved query {query.name}"] = (
                        "save it anew with the pseudonym; its earlier text stays in the audit trail"
                    )
            for export in items_of(lambda offset: list_exports(connection, offset=offset, limit=_PAGE)):
                if subject in export.query:
                    found[f"export {export.name}"] = "schedule it anew with the pseudonym"
        for version, _ in subject_versions(plane):
            for digest in {version.artifact, version.lineage.source_digest}:
                if _in_bytes(plane.artifacts.path(digest), needle):
                    found[f"the file of {version.ref}"] = (
                        "the model has learnt it: train and register it anew"
                    )
    return found


def _holds(path: Path, subject: str, needle: bytes) -> bool:
    try:
        if path.suffix == _PARQUET:
            return _in_parquet(path, subject)
        if path.suffix in _ZIPPED:
            with zipfile.ZipFile(path) as packed:
                return any(needle in packed.read(name) for name in packed.namelist())
    except (OSError, zipfile.BadZipFile, pa.ArrowException):
        pass  # not what its name says: its bytes are looked at
    return _in_bytes(path, needle)


def _in_bytes(path: Path, needle: bytes) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(needle) >= 0


def _in_parquet(path: Path, subject: str) -> bool:
    batches = pq.ParquetFile(path).iter_batches()
    return any(_named(column, subject) for batch in batches for column in pa.table(batch).flatten().columns)


def _named(column: pa.ChunkedArray, subject: str) -> bool:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return bool(pc.any(pc.match_substring(column, subject)).as_py())
    if pa.types.is_integer(column.type) and subject.isdigit():
        return bool(pc.any(pc.equal(pc.cast(column, pa.string()), subject)).as_py())
    return False
