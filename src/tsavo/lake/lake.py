"""The lake as other rooms use it."""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from tsavo.journal import Journal, journals
from tsavo.lake.asking import Asking
from tsavo.lake.backtests import backtest_rows
from tsavo.lake.commits import CommitLog
from tsavo.lake.endpoint_rows import Rows, read_rows
from tsavo.lake.erasing import DroppedRows, drop_plain, keys_waiting
from tsavo.lake.folders import Folders
from tsavo.lake.increments import Position, Ranges, next_piece
from tsavo.lake.labelled import next_labelled
from tsavo.lake.looking import Activity, activity_of, find_decision, latest_decisions, may_hold, traffic_of
from tsavo.lake.points import point_rows, read_points
from tsavo.lake.proving import file_with
from tsavo.lake.recorded import Recorded, Unseal, read_recorded, request_ids
from tsavo.lake.relations import nested
from tsavo.lake.retention import Expired, drop_before
from tsavo.lake.rows import SYSTEM_SCHEMA
from tsavo.lake.session import Session
from tsavo.lake.shipping import Own, Shipped, Shipper
from tsavo.lake.tables import LakeTable, dataset
from tsavo.lake.tail import SignatureOf, TailReader
from tsavo.lake.tidying import may_need_tidying, sweep, tidy
from tsavo.lake.undisturbed import undisturbed
from tsavo.lake.veiled import no_keys, no_owner, told
from tsavo.lake.waiting import Patience
from tsavo.storage import mark_of, name_mark
from tsavo.vocabulary import NotFound, Signature, check_name, parse_decision_id

__all__ = ["Lake"]

_SMALL_FILES: Final = 7
_SWEEP_TURNS: Final = 36
_NO_STRUCT: Final = pa.struct([])


class Lake(Asking):
    """Decisions, outcomes and monitors' points of one home.

    Every process may read at any time; `ship`, `maintain` and `append_points` belong to the keeper.

    Parameters
    ----------
    root
        The lake's folder; need not be there for reading.
    journal_folder
        Where the writers' journals lie.
    signature_of
        The signature of a model's version; raises `NotFound` for one that was never registered.
    unseal
        Opens personal values, where they were sealed.
    own
        Is told which key is whose, before a journal lets go of the record that says so.
    """

    def __init__(
        self,
        root: Path,
        journal_folder: Path,
        signature_of: SignatureOf,
        unseal: Unseal = no_keys,
        own: Own = no_owner,
    ) -> None:
        self._folders = Folders(root)
        self._journal_folder = journal_folder
        self._signature_of = signature_of
        self._unseal = unseal
        self._shipper = Shipper(self._folders, journal_folder, signature_of, own=own)
        self._tail = TailReader(journal_folder)
        self._ranges = Ranges()
        self._turn = 0

    def log_to(self, log: CommitLog) -> None:
        """Have every commit that this process makes noted in `log`, before a journal lets go of its records."""
        self._shipper.log = log

    def _watching(self, table: LakeTable, *, tidying: bool = False) -> AbstractContextManager[None]:
        log = self._shipper.log
        return nullcontext() if log is None else log.watching(table.path, tidying=tidying)

    def ship(self, *, max_rows: int = 200_000, patience: Patience | None = None) -> Shipped:
        """Move journal records to Delta, each exactly once whatever crashes; at most `max_rows` new ones a journal.

        With `patience`, rows of quiet endpoints wait in the journals for a while, where readers see them all the same.
        """
        with undisturbed():
            return self._shipper.ship(max_rows, patience)

    def maintain(self, *, most_small_files: int = _SMALL_FILES) -> int:
        """Merge small files of tables that have more than `most_small_files`; return how many tables had.

        Files that were replaced more than six hours ago are deleted, of one table in 36 a call: to see whether there
        are any costs a look at the table, and there may be thousands.
        """
        tidied = 0
        self._turn += 1
        for number, table in enumerate(self._folders.all()):
            sweeping = (number + self._turn) % _SWEEP_TURNS == 0
            if sweeping or may_need_tidying(table, most_small_files):
                with self._watching(table, tidying=True):
                    tidied += tidy(table, most_small_files)
                    if sweeping:
                        sweep(table)
        return tidied

    def file_of(self, endpoint: str, decision_id: str) -> Path | None:
        """The file that has a decision's row now; ``None`` while it waits in a journal, or when there is none."""
        return file_with(self._folders.decisions(endpoint), decision_id)

    def expire(self, endpoint: str, before: datetime) -> dict[str, Expired]:
        """Take decisions made before a moment, and outcomes recorded before it, out of an endpoint's tables.

        Returns
        -------
        dict
            What left ``decisions`` and ``outcomes``, where something did. It is on disk for six hours more.
        """
        tables = {
            "decisions": (self._folders.decisions(endpoint), "time"),
            "outcomes": (self._folders.outcomes(endpoint), "recorded"),
        }
        expired = {}
        for name, (table, column) in tables.items():
            with self._watching(table, tidying=True):
                found = drop_before(table, column, before)
            if found is not None:
                expired[name] = found
        return expired

    def keys_waiting(self, pseudonym: str) -> set[bytes]:
        """Ids of keys that records in the journals name as this subject's: whose they are need not be noted yet."""
        return keys_waiting(self._journal_folder, pseudonym)

    def drop_plain(
        self, endpoint: str, column: str, pseudonym: str, pseudonym_of: Callable[[Any], str | None]
    ) -> DroppedRows | None:
        """Delete shipped decisions that name a subject in plain text; see `erasing.drop_plain`. For the keeper.

        The files that held them are named by their places in the home.
        """
        table = self._folders.decisions(check_name(endpoint, "endpoint"))
        with self._watching(table, tidying=True):
            dropped = drop_plain(table, column, pseudonym, pseudonym_of)
        if dropped is None:
            return None
        place = table.path.relative_to(self._folders.root.parent).as_posix()
        return DroppedRows(dropped.rows, tuple(f"{place}/{name}" for name in dropped.files))

    def endpoints(self) -> set[str]:
        """Every endpoint that has rows in the lake."""
        return self._folders.endpoints()

    def new_decisions(self, endpoint: str, after: Mapping[str, int], limit: int) -> tuple[pa.Table, Position]:
        """Shipped decisions that a reader at `after` has not seen, of all roles, in shipped order.

        Parameters
        ----------
        after
            Where the last call ended; empty at the start.
        limit
            Most rows; rounded up so that the rows of one request stay together.

        Returns
        -------
        pa.Table, Position
            System columns, ``journal``, ``seq``, the structs ``features`` and ``prediction``; and where it ends.
            No rows: nothing is new.
        """
        snapshot = self._folders.decisions(endpoint).snapshot()
        if snapshot is None:
            return _no_decisions(), dict(after)
        with Session() as session:
            piece = next_piece(session, snapshot, self._ranges, after, limit, "time")
            if piece is None:
                return _no_decisions(), dict(after)
            source = session.source(dataset(piece.files, snapshot.schema))
            rows = session.table(
                f"SELECT * FROM ({nested([source])}) WHERE {piece.condition()}"
                " ORDER BY max(time) OVER (PARTITION BY journal ORDER BY seq), journal, seq,"
                " CAST(split_part(decision_id, ':', 2) AS BIGINT)"
            )
            return rows, piece.position

    def new_labelled(self, endpoint: str, after: Mapping[str, int], limit: int) -> tuple[pa.Table, Position]:
        """Shipped decisions whose first outcome has become known to a reader at `after`, each once.

        Returns
        -------
        pa.Table, Position
            As `new_decisions`, with ``outcome`` (boolean, integer, number or text: the narrowest that fits all
            of the endpoint's outcomes) and ``observed``. No rows: nothing is new. About `limit` rows; more when as
            many decisions and outcomes meet.
        """
        decisions = self._folders.decisions(endpoint).snapshot()
        outcomes = self._folders.outcomes(endpoint).snapshot()
        position = dict(after)
        while decisions is not None and outcomes is not None:
            with Session() as session:
                rows, position = next_labelled(session, decisions, outcomes, self._ranges, position, limit)
            if rows is None:
                break
            if rows.num_rows:
                return rows, position
        empty = _no_decisions().append_column("outcome", pa.nulls(0, pa.string()))
        return empty.append_column("observed", pa.nulls(0, SYSTEM_SCHEMA.field("time").type)), position

    def decision(self, decision_id: str, *, endpoint: str | None = None) -> dict[str, Any]:
        """One decision, shipped or not.

        Returns
        -------
        dict
            The system columns, ``features``, ``prediction``, ``explanation``, ``outcome``, ``observed``, and
            ``shadows``: what challengers said to the same row. ``personal`` names the features that are hidden.

        Raises
        ------
        Invalid
            It is no decision id.
        NotFound
            There is no such decision.
        """
        request, _ = parse_decision_id(decision_id)
        tail = self._tail.read()
        late = {entry.record.endpoint for entry in tail.decided if entry.record.request == request}
        for name in self._likely(request, late) if endpoint is None else [check_name(endpoint, "endpoint")]:
            if name not in late and not may_hold(
                self._folders.decisions(name).snapshot(tail.journals), decision_id
            ):
                continue
            rows = read_rows(self._folders, name, tail, self._signature_of)
            with Session() as session:
                found = find_decision(session, rows, decision_id)
            if found is not None:
                return told(found, self._signature_of)
        raise NotFound(
            "there is no such decision",
            field="decision_id",
            found=decision_id,
            next_step="ids come with every answer, as 'decision_id'; another home may hold this one",
        )

    def request_ids(
        self,
        endpoint: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        version: tuple[str, int] | None = None,
        after: str = "",
        limit: int = 500,
        most_rows: int = 50_000,
    ) -> tuple[list[str], bool]:
        """Ids of requests to `endpoint`, shipped or not, in the order of their time, and whether more come.

        See `recorded.request_ids`.
        """
        with Session() as session:
            return request_ids(
                session,
                self._rows(endpoint),
                since=since,
                until=until,
                version=version,
                after=after,
                limit=limit,
                most_rows=most_rows,
            )

    def recorded(self, endpoint: str, requests: Collection[str]) -> list[Recorded]:
        """All that versions were asked in these requests, as they were asked it; shadows included.

        Raises
        ------
        NotFound
            A version was never registered.
        """
        with Session() as session:
            return read_recorded(session, self._rows(endpoint), requests, self._signature_of, self._unseal)

    def _likely(self, request: str, late: set[str]) -> list[str]:
        """Every endpoint, those first that can be expected to have answered `request`."""
        # Ids of earlier releases have random digits where the mark is: then each endpoint is asked.
        mark = mark_of(request)
        known = self._folders.endpoints() | late
        return sorted(known, key=lambda name: (name not in late, name_mark(name) != mark, name))

    def recent(
        self, endpoint: str, limit: int = 50, before: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """The newest answered decisions of `endpoint`, shipped or not, and the token of the next page.

        The token is ``None`` on the last page. Each decision is a dict as in `decision`, without ``explanation`` and
        ``shadows``.
        """
        with Session() as session:
            rows, token = latest_decisions(session, self._rows(endpoint), limit, before)
        return [told(row, self._signature_of) for row in rows], token

    def traffic(self, endpoint: str, since: datetime, bucket: timedelta) -> pa.Table:
        """Decisions and latency of `endpoint` by time bucket and role, shipped or not.

        Columns: ``time`` (the bucket's start), ``role``, ``decisions``, ``requests``, ``p50_us``, ``p95_us``.
        """
        with Session() as session:
            return traffic_of(session, self._rows(endpoint), since, bucket)

    def activity(self, endpoints: Sequence[str], since: datetime) -> dict[str, Activity]:
        """How busy each endpoint was since a moment, shadows left out."""
        tail = self._tail.read()
        found = {}
        with Session() as session:
            for endpoint in endpoints:
                rows = read_rows(self._folders, endpoint, tail, self._signature_of)
                found[endpoint] = activity_of(session, rows, since)
        return found

    def outcomes_count(self, endpoint: str) -> int:
        """Decisions of `endpoint` whose outcome is known, shipped or not."""
        table = self.sql(
            f"SELECT count(DISTINCT decision_id) AS n FROM outcomes WHERE endpoint = '{check_name(endpoint)}'"
        )
        return int(table.column("n")[0].as_py())

    def append_backtest(
        self,
        name: str,
        recorded: Sequence[Recorded],
        signature: Signature,
        answers: Sequence[tuple[Any, ...] | str],
        upto: int,
    ) -> None:
        """Keep what a version with `signature` answered in a back-test, once.

        Parameters
        ----------
        upto
            The number of rows that the table has then; what was kept up to there is not kept again.
        """
        table = self._folders.backtest(name)
        snapshot = table.snapshot()
        known = {}
        if snapshot is not None:
            known = {part: snapshot.schema.field(part).type for part in ("prediction", "recorded")}
        rows = backtest_rows(recorded, signature, answers, self._signature_of, known)
        table.append(rows, {f"backtest-{name}": upto})

    def append_points(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Add points of monitors' charts.

        Each is a dict with ``endpoint, monitor, subject, time, value, rows`` and perhaps ``low, high``; raises
        `Invalid` for any other.
        """
        if points:
            with self._watching(self._folders.points):
                self._folders.points.append(point_rows(points))

    def points(
        self,
        endpoint: str,
        monitor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 10_000,
        *,
        subject: str | None = None,
    ) -> pa.Table:
        """The newest `limit` points of an endpoint's charts in [`since`, `until`), in the order of their time."""
        check_name(endpoint, "endpoint")
        return read_points(self._folders.points, endpoint, monitor, subject, since, until, limit)

    def backlog(self) -> list[dict[str, Any]]:
        """What waits in each journal: ``name``, ``rows`` (records), ``bytes``."""
        waiting = []
        for path in journals(self._journal_folder):
            with Journal(path) as journal:
                size = journal.size()
            waiting.append({"name": path.name, "rows": size.rows, "bytes": size.bytes})
        return waiting

    def _rows(self, endpoint: str) -> Rows:
        check_name(endpoint, "endpoint")
        return read_rows(self._folders, endpoint, self._tail.read(), self._signature_of)


def _no_decisions() -> pa.Table:
    return pa.schema([*SYSTEM_SCHEMA, ("features", _NO_STRUCT), ("prediction", _NO_STRUCT)]).empty_table()
