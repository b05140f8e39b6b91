"""Lists of models to be registered: a manifest, a folder of model files, a table, or rows as they come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from math import isnan
from pathlib import Path
from typing import Any, Final, NamedTuple

from tsavo.client.tables import as_table, read_table
from tsavo.vocabulary import Conflict, Invalid, NotFound, TsavoError, check_name

__all__ = ["COLUMNS", "Entry", "entries", "manifest_rows"]

COLUMNS: Final = ("source", "name", "reference", "target", "segment", "endpoint", "owner", "why")
"""What a row may say; the first two it must."""

_TABLES: Final = (".csv", ".parquet")
_MANIFESTS: Final = (*_TABLES, ".json", ".jsonl", ".ndjson")
_LONGEST_NAME: Final = 100
_OTHER: Final = re.compile(r"[^a-z0-9._-]+")


class Entry(NamedTuple):
    """One model to be registered.

    Attributes
    ----------
    row
        Its place in the list, from one.
    source
        A path, or a live object.
    reference, target
        Its own reference data and target column; ``None`` for those of all.
    """

    row: int
    source: Any
    name: str
    reference: Any = None
    target: str | None = None
    segment: str | None = None
    endpoint: str | None = None
    owner: str | None = None
    why: str = ""


def manifest_rows(path: Path | str) -> list[dict[str, Any]]:
    """The rows of a manifest, or of a folder; paths in them are as the manifest has them.

    A manifest is a CSV, Parquet or JSON-lines table with the columns of `COLUMNS`. In a folder every file is a model
    under the name of the file, and a CSV or Parquet file is the reference data of the model of the same name.

    Raises
    ------
    NotFound, Unreadable, Invalid
        When there is no such file or folder, or it is no such list.
    """
    place = Path(path)
    if place.is_dir():
        return _folder_rows(place)
    if place.is_file() and place.suffix.lower() not in _MANIFESTS:
        raise Invalid(
            "not a manifest",
            field="manifest",
            found=str(place),
            expected="a CSV, Parquet or JSON-lines file, or a folder of model files",
            next_step="one model alone is registered with 'tsavo register'",
        )
    rows: list[dict[str, Any]] = read_table(place, text=COLUMNS).to_pylist()
    return rows


def _folder_rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    references = {path.stem: path.name for path in files if path.suffix.lower() in _TABLES}
    rows = [
        {"source": path.name, "name": _name_of(path), "reference": references.get(path.stem)}
        for path in files
        if path.suffix.lower() not in _TABLES
    ]
    if not rows:
        raise NotFound("there is no model file in this folder", field="manifest", found=str(folder))
    return rows


def _name_of(path: Path) -> str:
    """A model's name for a file.

    >>> _name_of(Path("Store 17 (north).skops"))
    'store-17-north'
    """
    return _OTHER.sub("-", path.stem.lower()).strip("-._")[:_LONGEST_NAME]


def entries(models: Any, folder: Path | None) -> Iterator[Entry | tuple[int, str, TsavoError]]:
    """The models in turn; row, name and error where a row cannot be one.

    Parameters
    ----------
    models
        The path of a manifest or a folder; a table of any make; or rows (mappings) as they come.
    folder
        Where paths start; by default beside the manifest, and in the working folder otherwise.

    Raises
    ------
    Invalid
        When it is no list of models.
    """
    rows: Iterable[Mapping[str, Any]]
    if isinstance(models, str | Path):
        place = Path(models)
        rows = manifest_rows(place)
        folder = folder or (place if place.is_dir() else place.parent)
    elif isinstance(models, Mapping) or hasattr(models, "columns") or hasattr(models, "column_names"):
        rows = as_table(models).to_pylist()
    else:
        rows = models
    return _checked(rows, folder or Path())


def _checked(
    rows: Iterable[Mapping[str, Any]], folder: Path
) -> Iterator[Entry | tuple[int, str, TsavoError]]:
    names: dict[str, int] = {}
    segments: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        try:
            entry = _entry(number, row, folder)
            _once(names, "name", entry.name, number)
            if entry.segment is not None:
                _once(segments, "segment", entry.segment, number)
        except TsavoError as error:
            name = row.get("name") if isinstance(row, Mapping) else None
            yield number, "" if name is None else str(name), error
        else:
            yield entry


def _entry(number: int, row: Mapping[str, Any], folder: Path) -> Entry:
    if not isinstance(row, Mapping):
        raise Invalid("not a row", field="row", found=row, expected="a mapping with 'source' and 'name'")
    unknown = sorted(str(name) for name in row if name not in COLUMNS)
    if unknown:
        raise Invalid(
            "a column that means nothing here", field=unknown[0], found=unknown, expected=", ".join(COLUMNS)
        )
    said = {name: value for name, value in row.items() if not _is_missing(value)}
    for needed in ("source", "name"):
        if needed not in said:
            raise Invalid(f"the row has no {needed}", field=needed, expected="a value in every row")
    words = {
        name: _word(said[name]) for name in ("target", "segment", "endpoint", "owner", "why") if name in said
    }
    return Entry(
        number,
        _placed(said["source"], folder, "source"),
        check_name(str(said["name"]), "name"),
        _placed(said.get("reference"), folder, "reference"),
        **words,
    )


def _word(value: Any) -> str:
    """As text; a whole number stays one where a table with gaps has made it a float.

    >>> _word(17.0), _word("017"), _word(3)
    ('17', '017', '3')
    """
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_missing(value: Any) -> bool:
    return (
        value is None or (isinstance(value, float) and isnan(value)) or (isinstance(value, str) and not value)
    )


def _placed(value: Any, folder: Path, field: str) -> Any:
    """A path from its folder on. Never an address or a module: a list of files makes nobody import code."""
    if not isinstance(value, str | Path):
        return value
    path = folder / value
    if not path.exists():
        raise NotFound("there is no such file", field=field, found=str(path))
    return path


def _once(seen: dict[str, int], what: str, value: str, number: int) -> None:
    first = seen.setdefault(value, number)
    if first != number:
        raise Conflict(
            f"row {first} has this {what} already",
            field=what,
            found=value,
            expected=f"each {what} once, for rows are worked on side by side",
            next_step="register further versions of a model in a second run",
        )
