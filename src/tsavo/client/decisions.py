"""What can be asked of single decisions: their receipts, and whether their versions still answer as they did."""

# ruff: noqa: S608 -- the query is the caller's own, and the console lets nothing but one SELECT through

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote

from tsavo.client.querying import SqlQuestions
from tsavo.vocabulary import Backtest, Invalid, Page, Replay, ReplayPage, VersionRef, check_name

__all__ = ["DecisionQuestions"]

_REQUESTS_A_PAGE: Final = 500
_A_PAGE: Final = 200
_MOST_REQUESTS: Final = 1_000_000


class DecisionQuestions(SqlQuestions):
    """The part of the client that is about single decisions."""

    def decision(self, decision_id: str) -> dict[str, Any]:
        """The receipt of a decision: with the version that made it, who put it there, and what scored."""
        told: dict[str, Any] = self._console.get(f"/api/decisions/{_quoted(decision_id)}", dict[str, Any])
        return told

    def replay(self, decision_id: str) -> Replay:
        """Ask the version of a decision again, in a fresh process, what it was asked; compared to the last bit.

        All rows are asked that it was asked together then.
        """
        found: Replay = self._console.post(f"/api/decisions/{_quoted(decision_id)}/replay", {}, Replay)
        return found

    def replay_all(
        self,
        endpoint: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        version: str | VersionRef | None = None,
        after: str = "",
    ) -> Iterator[ReplayPage]:
        """Replay the requests to an endpoint in the order of their time, page by page; shadows' answers too.

        Parameters
        ----------
        since, until
            Decided in [`since`, `until`); with a time zone.
        version
            Only what this version answered.
        after
            Go on behind this request.
        """
        path = f"/api/endpoints/{check_name(endpoint, 'endpoint')}/replays"
        asked = {"since": since, "until": until, "version": None if version is None else str(version)}
        last: str | None = after
        while last is not None:
            page: ReplayPage = self._console.post(path, {**asked, "after": last}, ReplayPage)
            yield page
            last = page.last

    def replay_query(self, query: str) -> Iterator[ReplayPage]:
        """Replay the requests of all decisions that a query names, endpoint by endpoint, page by page.

        Parameters
        ----------
        query
            A SELECT with a column ``decision_id``; at most a million requests.

        Raises
        ------
        Invalid
            The query has no such column, or names more requests.
        """
        text = query.strip().rstrip(";")
        table = self.sql(
            "SELECT DISTINCT endpoint, split_part(decision_id, ':', 1) AS request FROM decisions"
            f" WHERE decision_id IN (SELECT named.decision_id FROM ({text}) AS named) ORDER BY endpoint, request",
            limit=_MOST_REQUESTS,
        )
        if (table.schema.metadata or {}).get(b"truncated") == b"true":
            raise Invalid(
                "the query names too many decisions",
                field="query",
                found=f"more than {_MOST_REQUESTS:,} requests",
                expected="fewer",
                next_step="narrow it by time, and replay piece by piece",
            )
        endpoints, requests = table.column("endpoint").to_pylist(), table.column("request").to_pylist()
        for endpoint, pairs in groupby(zip(endpoints, requests, strict=True), key=lambda pair: pair[0]):
            named = [request for _, request in pairs]
            for at in range(0, len(named), _REQUESTS_A_PAGE):
                some = named[at : at + _REQUESTS_A_PAGE]
                yield self._console.post(f"/api/endpoints/{endpoint}/replays", {"requests": some}, ReplayPage)

    def backtest(
        self,
        version: str | VersionRef,
        endpoint: str,
        *,
        name: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Backtest]:
        """Ask a version what an endpoint was asked, in the batches of then; yields how far it has come.

        The answers are in the SQL view ``"backtest:<name>"``, beside those of then (``then.<output>``) and the outcome.

        Parameters
        ----------
        name
            Of the view; by default made of the version, the endpoint and the time.
        since, until
            Decisions in [`since`, `until`), with a time zone; by default all until now.

        Raises
        ------
        Refused
            When the version cannot answer what callers of the endpoint send.
        """
        body = {"version": str(version), "endpoint": endpoint, "name": name, "since": since, "until": until}
        started: Backtest = self._console.post("/api/backtests", body, Backtest)
        yield started
        yield from self.continue_backtest(started.name)

    def continue_backtest(self, name: str) -> Iterator[Backtest]:
        """Run a back-test to its end; yields how far it has come."""
        path = f"/api/backtests/{check_name(name, 'name')}/next"
        while True:
            after: Backtest = self._console.post(path, {}, Backtest)
            yield after
            if after.finished is not None:
                return

    def backtests(self, endpoint: str | None = None) -> Iterator[Backtest]:
        """Back-tests, newest first."""
        offset: int | None = 0
        while offset is not None:
            page = self._console.get(
                "/api/backtests/all", Page[Backtest], endpoint=endpoint, offset=offset, limit=_A_PAGE
            )
            yield from page.items
            offset = page.next_offset


def _quoted(decision_id: str) -> str:
    return quote(decision_id, safe="")
