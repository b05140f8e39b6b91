"""Files that answers go to: their kind by their name, there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, get_args

import msgspec

from tsavo.vocabulary import ExportFormat, Invalid, NotFound, Unreadable

__all__ = ["Exported", "file_kind", "whole_file"]

_KINDS: Final[dict[str, ExportFormat]] = {
    **{f".{kind}": kind for kind in get_args(ExportFormat)},
    ".ndjson": "jsonl",
}


class Exported(msgspec.Struct, frozen=True):
    """How many rows a file got, and whether there were more."""

    rows: int
    truncated: bool


def file_kind(path: Path, format: str | None = None) -> ExportFormat:
    """The kind of file that is written: `format`, or what the name ends in.

    Raises
    ------
    Invalid
        When it is none that is known.

    >>> file_kind(Path("late.xlsx")), file_kind(Path("late.txt"), "csv")
    ('xlsx', 'csv')
    """
    kind = _KINDS.get(f".{format}" if format else path.suffix.lower())
    if kind is None:
        raise Invalid(
            "not a kind of table that can be written",
            field="format" if format else "output",
            found=format or str(path),
            expected=f"{'one of' if format else 'a name that ends in one of'} {', '.join(_KINDS)}",
        )
    return kind


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its name when the block ends well, and is gone when it does not.

    Raises
    ------
    NotFound, Unreadable
        There is no such folder, or it cannot be written to.
    """
    if not path.parent.is_dir():
        raise NotFound("there is no such folder", field="output", found=str(path.parent))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise Unreadable(
            f"the file cannot be written: {error.strerror}", field="output", found=str(path)
        ) from error
    finally:
        part.unlink(missing_ok=True)
