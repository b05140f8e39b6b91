"""Reference data, as it is handed to the console: a file as it is, or a table as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from tsavo.client.sources import Source
from tsavo.client.tables import as_table, parquet_bytes, read_table
from tsavo.vocabulary import Invalid, NotFound

__all__ = ["GivenReference", "reference_of"]

_JSON: Final = (".json", ".jsonl", ".ndjson")


class GivenReference(NamedTuple):
    """Reference data, and the column that holds what really happened."""

    source: Source
    target: str | None


def reference_of(reference: Any, target: Any) -> GivenReference:
    """What is sent as reference data.

    A Parquet or CSV file goes as it is, so that the digest in the version's lineage is the file's own.

    Parameters
    ----------
    reference
        A path, or a table of any make.
    target
        The name of a column, values in step with the rows, or ``None``.

    Raises
    ------
    NotFound, Unreadable
        When there is no such file, or it cannot be read.
    Invalid
        When it is no table, or the target's values do not fit it.
    """
    named = target is None or isinstance(target, str)
    if isinstance(reference, str | Path):
        path = Path(reference)
        if not path.is_file():
            raise NotFound("there is no such file", field="reference", found=str(path))
        if named and path.suffix.lower() not in _JSON:
            return GivenReference(Source(path.name, path), target)
        table = read_table(path)
    else:
        table = as_table(reference)
    if not named:
        table, target = _with_target(table, target)
    return GivenReference(Source("reference.parquet", parquet_bytes(table)), target)


def _with_target(table: Any, target: Any) -> tuple[Any, str]:
    """The table with the target's values as a column, and that column's name."""
    import pyarrow as pa

    name = str(getattr(target, "name", None) or "target")
    lists = (method for method in ("tolist", "to_list", "to_pylist") if hasattr(target, method))
    method = next(lists, None)
    try:
        values = pa.array(list(target) if method is None else getattr(target, method)(), from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise Invalid(
            f"the target cannot be a column: {error}", field="target", found=type(target).__name__
        ) from error
    if len(values) != table.num_rows:
        raise Invalid(
            "the target does not fit the reference",
            field="target",
            found=f"{len(values)} values",
            expected=f"{table.num_rows} values, one for each row",
        )
    if name not in table.column_names:
        return table.append_column(name, values), name
    if table.column(name).to_pylist() == values.to_pylist():
        return table, name
    raise Invalid(
        "the reference has another column of the target's name",
        field="target",
        found=name,
        expected="a name that no column has, or the name of the column that holds the target",
    )
