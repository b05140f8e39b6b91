"""Ejecting: a version leaves as a folder that runs without Tsavo."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa

from tsavo.actions.control_plane import ControlPlane
from tsavo.formats.ejecting import folder_files, source_path
from tsavo.formats.tables import read_table
from tsavo.governance import Principal, Right, require
from tsavo.registry import get_version
from tsavo.vocabulary import Version, VersionRef

__all__ = ["eject"]

_CHUNK: Final = 1 << 20
# The earliest moment that a zip file can name; the real one would make every zip another one.
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_FILE_MODE: Final = 0o100644


def eject(plane: ControlPlane, who: Principal, ref: VersionRef) -> Iterator[bytes]:
    """The version as a zip of an MLflow model folder, piece by piece; the same bytes every time.

    Everything that can be refused is refused before this returns.

    Raises
    ------
    NotFound
        When there is no such version.
    Damaged
        When a stored file of it is not what was written.
    """
    require(who, Right.QUERY)
    with plane.database.read() as connection:
        version = get_version(connection, ref)
    copied = _copied(plane, version)
    made = folder_files(version, _golden(plane, version))
    return _zipped({**made, **copied})


def _copied(plane: ControlPlane, version: Version) -> dict[str, Path]:
    """Stored files, where they go in the folder; all intact."""
    digests = {source_path(version): version.lineage.source_digest}
    if version.runtime == "onnx":
        digests["model.onnx"] = version.artifact
    if version.golden is not None:
        digests["golden.parquet"] = version.golden.digest
    for digest in digests.values():
        plane.artifacts.verify(digest)
    return {path: plane.artifacts.path(digest) for path, digest in digests.items()}


def _golden(plane: ControlPlane, version: Version) -> pa.Table | None:
    """The golden rows; versions from before there were any have none."""
    return None if version.golden is None else read_table(plane.artifacts.path(version.golden.digest))


class _Pipe:
    """Takes what the zip writer writes, until somebody fetches it."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def write(self, data: Any) -> int:
        self._waiting.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def fetch(self) -> bytes:
        fetched, self._waiting = b"".join(self._waiting), []
        return fetched


def _zipped(files: dict[str, bytes | Path]) -> Iterator[bytes]:
    """A zip of the files in order of their names, piece by piece."""
    pipe = _Pipe()
    sink: Any = pipe
    # Stored as they are: what a compressor makes of them depends on its version.
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.external_attr = _FILE_MODE << 16
            entry.create_system = 3
            with archive.open(entry, "w", force_zip64=isinstance(content, Path)) as out:
                for piece in _pieces(content):
                    out.write(piece)
                    yield pipe.fetch()
    yield pipe.fetch()


def _pieces(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        yield from iter(lambda: _read(file), b"")


def _read(file: IO[bytes]) -> bytes:
    return file.read(_CHUNK)
