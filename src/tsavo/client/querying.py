"""SQL over what was recorded: as a table in memory, as a file, under a name, and again at an interval."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, overload
from urllib.parse import quote

from tsavo.client.files import Exported, file_kind, whole_file
from tsavo.client.transport import Transport
from tsavo.vocabulary import Export, ExportFormat, Invalid, Page, SavedQuery

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["SqlQuestions"]

_ARROW: Final = "application/vnd.apache.arrow.stream"
_A_PAGE: Final = 200


class SqlQuestions:
    """The part of the client that asks in SQL."""

    _console: Transport

    @overload
    def sql(
        self,
        query: str,
        *,
        limit: int = ...,
        seconds: float = ...,
        memory_mib: int = ...,
        as_of: datetime | None = ...,
        as_: Literal["arrow"] = ...,
    ) -> pa.Table: ...

    @overload
    def sql(
        self,
        query: str,
        *,
        limit: int = ...,
        seconds: float = ...,
        memory_mib: int = ...,
        as_of: datetime | None = ...,
        as_: Literal["pandas"],
    ) -> pd.DataFrame: ...

    @overload
    def sql(
        self,
        query: str,
        *,
        limit: int = ...,
        seconds: float = ...,
        memory_mib: int = ...,
        as_of: datetime | None = ...,
        as_: Literal["polars"],
    ) -> pl.DataFrame: ...

    def sql(
        self,
        query: str,
        *,
        limit: int = 10_000,
        seconds: float = 30.0,
        memory_mib: int = 2048,
        as_of: datetime | None = None,
        as_: Literal["arrow", "pandas", "polars"] = "arrow",
    ) -> Any:
        """Run one SELECT over decisions, outcomes and monitors.

        Every endpoint is a view under its own name; beside it ``<endpoint>_outcomes`` has the decisions whose outcome
        is known.

        Parameters
        ----------
        limit, seconds, memory_mib
            Most rows, seconds and memory. A longer answer is cut; an Arrow table's schema metadata then has
            ``truncated``.
        as_of
            What was known at this moment: later decisions, and outcomes recorded later, are left out.
        as_
            ``"arrow"``, ``"pandas"`` or ``"polars"``: what kind of table it becomes.

        Raises
        ------
        Invalid
            It is not one reading statement, or it cannot be answered within its limits.
        """
        if as_ not in ("arrow", "pandas", "polars"):
            raise Invalid("not a kind of table", field="as_", found=as_, expected="arrow, pandas or polars")
        table = self._asked(_body(query, limit, seconds, memory_mib, as_of))
        if as_ == "pandas":
            # Column by column, so that there are never two copies of the whole.
            return table.to_pandas(split_blocks=True, self_destruct=True)
        if as_ == "polars":
            import polars as pl

            return pl.from_arrow(table)
        return table

    def _asked(self, body: dict[str, Any]) -> pa.Table:
        import pyarrow as pa

        with self._console.receive("/api/sql", body, _ARROW) as (incoming, headers):
            table = pa.ipc.open_stream(incoming).read_all()
        if headers.get("X-Tsavo-Truncated") == "true":
            table = table.replace_schema_metadata({"truncated": "true"})
        return table

    def export(
        self,
        query: str,
        path: Path | str | IO[bytes],
        *,
        format: str | None = None,
        raw: bool = False,
        limit: int = 10_000_000,
        seconds: float = 300.0,
        memory_mib: int = 2048,
        as_of: datetime | None = None,
    ) -> Exported:
        """Run one SELECT and write its rows to a file, which is there whole or not at all.

        Parameters
        ----------
        path
            The file; its name ends in .csv, .parquet, .xlsx, .json, .jsonl or .arrow. Or an open binary file.
        format
            The kind of file, when its name does not say it.
        raw
            Leave texts of a CSV file as they are; otherwise those that a spreadsheet program would run as formulas
            (they begin with ``=``, ``+``, ``-`` or ``@``) get an apostrophe in front.
        limit, seconds, memory_mib, as_of
            As `sql` has them.

        Raises
        ------
        Invalid, TooLarge, NotFound
            It cannot be answered within its limits, is larger than such a file may be, or there is no such folder.
        """
        body = _body(query, limit, seconds, memory_mib, as_of)
        if not isinstance(path, str | Path):
            return self._written(body | {"format": file_kind(Path("-"), format or "csv"), "raw": raw}, path)
        target = Path(path)
        body |= {"format": file_kind(target, format), "raw": raw}
        with whole_file(target) as file:
            return self._written(body, file)

    def _written(self, body: dict[str, Any], file: IO[bytes]) -> Exported:
        with self._console.receive("/api/sql", body) as (incoming, headers):
            shutil.copyfileobj(incoming, file, 1 << 18)
        return Exported(int(headers.get("X-Tsavo-Rows", 0)), headers.get("X-Tsavo-Truncated") == "true")

    def save_query(self, name: str, query: str, *, description: str = "", why: str = "") -> SavedQuery:
        """Keep a query under a name; another text or description makes the next version.

        Raises
        ------
        Invalid
            The name is none, or the query does not read as one SELECT.
        """
        body = {"query": query, "description": description, "why": why}
        saved: SavedQuery = self._console.post(f"/api/queries/{_segment(name)}/save", body, SavedQuery)
        return saved

    def saved_queries(self, search: str = "") -> Iterator[SavedQuery]:
        """The newest version of each saved query, by name, page by page."""
        yield from self._all("/api/queries", Page[SavedQuery], search=search or None)

    def saved_query(self, name: str, number: int | None = None) -> SavedQuery:
        """One saved query, its newest version unless a number is given; raise `NotFound` when there is none."""
        saved: SavedQuery = self._console.get(f"/api/queries/{_segment(name)}", SavedQuery, number=number)
        return saved

    def query_history(self, name: str) -> Iterator[SavedQuery]:
        """All versions of a saved query, newest first."""
        yield from self._all(f"/api/queries/{_segment(name)}/history", Page[SavedQuery])

    def remove_query(self, name: str, *, why: str = "") -> None:
        """Take a saved query out of the list; its versions are kept, and its name goes on counting."""
        self._console.post(f"/api/queries/{_segment(name)}/remove", {"why": why})

    def schedule_export(
        self,
        name: str,
        query: str,
        *,
        folder: str,
        every: timedelta,
        format: ExportFormat = "parquet",
        raw: bool = False,
        why: str = "",
    ) -> Export:
        """Let the keeper write a query's answer to a file again and again.

        Parameters
        ----------
        name
            Of the export, and of its file.
        query
            One SELECT, or ``@name`` for a saved query.
        folder
            Within the server's folder of exports, such as ``sales/daily``.
        every
            At least a minute.
        """
        body = {
            "query": query,
            "folder": folder,
            "every_seconds": int(every.total_seconds()),
            "format": format,
            "raw": raw,
            "why": why,
        }
        export: Export = self._console.post(f"/api/exports/{_segment(name)}/schedule", body, Export)
        return export

    def exports(self) -> Iterator[Export]:
        """Scheduled exports by name, with what came of their last runs."""
        yield from self._all("/api/exports", Page[Export])

    def remove_export(self, name: str, *, why: str = "") -> None:
        """Stop writing an export; files that were written stay."""
        self._console.post(f"/api/exports/{_segment(name)}/remove", {"why": why})

    def _all(self, path: str, kind: Any, **query: Any) -> Iterator[Any]:
        offset: int | None = 0
        while offset is not None:
            page = self._console.get(path, kind, offset=offset, limit=_A_PAGE, **query)
            yield from page.items
            offset = page.next_offset


def _segment(name: str) -> str:
    return quote(name, safe="")


def _body(query: str, limit: int, seconds: float, memory_mib: int, as_of: datetime | None) -> dict[str, Any]:
    if as_of is not None and as_of.tzinfo is None:
        as_of = as_of.replace(tzinfo=UTC)
    return {"query": query, "limit": limit, "seconds": seconds, "memory_mib": memory_mib, "as_of": as_of}
