"""An endpoint, as a handle: score, send outcomes, look, switch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from tsavo.client.outcomes import keyed_outcomes_of, outcomes_of, send, without_empty
from tsavo.client.scoring import Scores, metadata_of, score
from tsavo.client.tables import read_table
from tsavo.client.transport import Transport
from tsavo.vocabulary import Conflict, DrillReport, Finding, OutcomesRecorded, Page, Route, VersionRef

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Endpoint", "fallback_steps"]

_DRILL_LOOK_SECONDS: Final = 0.25


class Endpoint:
    """One endpoint; it is made by `Client.endpoint` and `Client.deploy`."""

    def __init__(self, name: str, console: Transport, gateway: Transport) -> None:
        self.name = name
        self._console = console
        self._gateway = gateway
        self._path = f"/api/endpoints/{name}"

    def __repr__(self) -> str:
        return f"<Endpoint {self.name} at {self.url}>"

    @property
    def url(self) -> str:
        """Where requests are sent (Open Inference Protocol)."""
        return f"{self._gateway.base}/v2/models/{self.name}/infer"

    @property
    def route(self) -> Route:
        """What it does with a request now."""
        return msgspec.convert(self._console.get(self._path, dict[str, Any])["route"], Route)

    def score(
        self, data: Any, *, key: str | None = None, retries: int | None = None, subject: str = ""
    ) -> Scores:
        """Score a table: a DataFrame, an Arrow table, a dict of columns, a list of row dicts, or a path to a file.

        An array [rows, columns] is taken in the order of the model's columns. When this returns, every decision is on
        the server's disk.

        Parameters
        ----------
        key
            A name for this table, such as ``"orders-2026-11-21"``: scored again under the same key within the gateway's
            window (``gateway.idempotency_minutes``), rows get the recorded answers and no second decisions.
        retries
            How often each request is sent again when the gateway cannot answer now: 3 with a key, 0 without. With
            retries and without a key, one is made for this call.
        subject
            Whose data all rows are, where the endpoint records personal data and its rows do not say whose they are.

        Raises
        ------
        Invalid
            When a column is missing or a value does not fit; then nothing was sent.
        NotFound
            When there is no such endpoint.
        """
        table = self.read_table(Path(data)) if isinstance(data, str | Path) else data
        return score(self._gateway, self.name, table, key=key, retries=retries, subject=subject)

    def read_table(
        self,
        path: Path | str,
        *,
        format: str | None = None,
        content: bytes | None = None,
        outcome: str | None = None,
        key: str | None = None,
    ) -> pa.Table:
        """Read a CSV, Parquet or JSON file as this endpoint takes it: what it knows as text stays text.

        Parameters
        ----------
        format
            ``csv``, ``parquet`` or ``json``; by default what the file's name ends in.
        content
            The file's content when it was read already (from standard input).
        outcome
            A column of outcomes, which is text where the model's classes are.
        key
            A column of business keys that is no input, but text all the same: ``caller`` or ``segment``.
        """
        told = metadata_of(self._gateway, self.name)
        text = [column.name for column in told.inputs if column.datatype == "BYTES"]
        classes = told.parameters.get("classes") or []
        if outcome is not None and any(isinstance(known, str) for known in classes):
            text.append(outcome)
        if key in ("caller", "segment"):
            text.append(key)
        return read_table(Path(path), format=format, content=content, text=text)

    def outcomes(
        self,
        data: Any,
        *,
        decision: str = "decision_id",
        outcome: str = "outcome",
        time: str = "time",
        key: str | None = None,
        within: timedelta | None = None,
        every: bool = False,
        empty: Literal["withdraw", "skip"] = "withdraw",
    ) -> OutcomesRecorded:
        """Record what really happened.

        Another outcome of the same decision corrects the first, a missing one withdraws it. Outcomes whose decision is
        not there are kept aside, and join it by themselves when it comes.

        Parameters
        ----------
        data
            A table, or a path to one, with a column of decision ids (or business keys) and one of outcomes, perhaps one
            of the times at which they were observed; or a pandas Series of outcomes whose index holds the decision ids.
        decision, outcome, time
            What those columns are called.
        key
            The name of a feature, and of the column with its values: an outcome goes to the latest decision of that
            value at or before its time (now, where there is no time). ``caller`` and ``segment`` are such names, too.
        within
            A decision found by its key is no longer before the outcome than this.
        every
            All decisions of the key in that time get the outcome, and not only the latest.
        empty
            ``"skip"`` leaves rows without an outcome alone, instead of withdrawing what was known.

        Raises
        ------
        Invalid
            Naming the first row at fault, and its column; then nothing was kept.
        """
        table = self.read_table(data, outcome=outcome, key=key) if isinstance(data, str | Path) else data
        if empty == "skip":
            table = without_empty(table, outcome)
        if key is None:
            given = outcomes_of(table, decision=decision, outcome=outcome, time=time)
            named = {"decisions": decision, "values": outcome, "observed": time}
            return send(self._console, f"{self._path}/outcomes", given, named)
        keyed = keyed_outcomes_of(table, key=key, outcome=outcome, time=time, within=within, every=every)
        named = {"keys": key, "values": outcome, "times": time, "observed": time}
        return send(self._console, f"{self._path}/outcomes/keyed", keyed, named)

    def labels(self) -> dict[str, Any]:
        """How many outcomes are known, and the lag with which they come: median and 95th percentile in seconds."""
        told: dict[str, Any] = self._console.get(f"{self._path}/labels", dict[str, Any])
        return told

    def waiting(self, offset: int = 0, limit: int = 50) -> dict[str, Any]:
        """Outcomes whose decision is not there yet: ``by_id`` with their ``total``, and ``keyed``, a page of each."""
        told: dict[str, Any] = self._console.get(
            f"{self._path}/waiting", dict[str, Any], offset=offset, limit=limit
        )
        return told

    def plug(self, why: str = "", *, fallback: Sequence[Any] | None = None) -> Route:
        """Pull the plug: the fallback answers from now on. See `Client.deploy` for `fallback`."""
        body = {"why": why, "fallback": fallback_steps(fallback)}
        route: Route = self._console.post(f"{self._path}/plug", body, Route)
        return route

    def unplug(self, why: str = "") -> Route:
        """Let the champion answer again."""
        route: Route = self._console.post(f"{self._path}/unplug", {"why": why}, Route)
        return route

    def promote(self, version: str | VersionRef | None = None, *, why: str = "") -> Route:
        """Make the challenger (or the one named, where there are several) the champion."""
        body = {"version": None if version is None else str(version), "why": why}
        route: Route = self._console.post(f"{self._path}/promote", body, Route)
        return route

    def rollback(self, *, why: str = "") -> Route:
        """Go back to the champion before the present one."""
        route: Route = self._console.post(f"{self._path}/rollback", {"why": why}, Route)
        return route

    def limit(
        self,
        *,
        milliseconds: int | UnsetType | None = UNSET,
        concurrent: int | UnsetType | None = UNSET,
        warm: bool | UnsetType = UNSET,
        guard: bool | UnsetType = UNSET,
        why: str = "",
    ) -> Route:
        """Change what it may take of a gateway; what is not given stays as it is, ``None`` takes a limit away.

        Parameters
        ----------
        milliseconds
            After so long without an answer of a version the fallback chain answers.
        concurrent
            So many requests are worked on at the same time in each gateway process; more are turned away.
        warm
            Whether its versions are loaded at the start, and never let go of to make room.
        guard
            Whether the fallback chain answers rows that lack what the champion needs, instead of a refusal.
        """
        given = {
            "milliseconds": milliseconds,
            "concurrent": concurrent,
            "warm": warm,
            "guard": guard,
            "why": why,
        }
        body = {name: value for name, value in given.items() if value is not UNSET}
        route: Route = self._console.post(f"{self._path}/limits", body, Route)
        return route

    def retention(self) -> dict[str, dict[str, int | None]]:
        """How long rows are kept: what the ``endpoint`` says, what the ``settings`` say, what is ``effective``."""
        told: dict[str, dict[str, int | None]] = self._console.get(
            f"{self._path}/kept", dict[str, dict[str, int | None]]
        )
        return told

    def retain(
        self,
        *,
        keep_days: int | UnsetType | None = UNSET,
        at_least_days: int | UnsetType | None = UNSET,
        why: str = "",
    ) -> Route:
        """Change how long decisions and outcomes are kept; what is not given stays, ``None`` is as the settings say.

        Parameters
        ----------
        keep_days
            Rows that are older are deleted; 0 keeps them for ever.
        at_least_days
            Rows that are younger are never deleted.
        """
        given = {"keep_days": keep_days, "at_least_days": at_least_days, "why": why}
        body = {name: value for name, value in given.items() if value is not UNSET}
        route: Route = self._console.post(f"{self._path}/retention", body, Route)
        return route

    def personal(
        self,
        *,
        subject: str | None = None,
        columns: Sequence[str] = (),
        nothing: bool = False,
        why: str = "",
    ) -> Route:
        """Say which inputs are personal: from now on they are recorded sealed.

        Parameters
        ----------
        subject
            The column that says whose data a row is; without one, callers say it with ``subject=`` of `score`.
        columns
            Other columns that are sealed.
        nothing
            Nothing is personal any more; what was sealed stays so.
        """
        body = {"subject": subject, "personal": list(columns), "nothing": nothing, "why": why}
        route: Route = self._console.post(f"{self._path}/personal", body, Route)
        return route

    def drill(self, *, requests: int = 200, seconds: int = 60, why: str = "") -> DrillReport:
        """Try every step of the fallback chain on copies of the next live requests, and wait for the report.

        No answer changes. It ends after so many requests, or so many seconds.

        Raises
        ------
        Conflict
            When there is no fallback to try, or the chain was changed meanwhile.
        """
        body = {"requests": requests, "seconds": seconds, "why": why}
        drill = self._console.post(f"{self._path}/drills", body, Route).drill
        while (report := self.last_drill()).state == "running" and report.drill == drill:
            time.sleep(_DRILL_LOOK_SECONDS)
        if report.drill != drill:
            raise Conflict("another drill was begun meanwhile", field="endpoint", found=self.name)
        return report

    def last_drill(self) -> DrillReport:
        """What the last fire drill has found so far; raise `NotFound` when the present chain was never drilled."""
        report: DrillReport = self._console.get(f"{self._path}/drill", DrillReport)
        return report

    def findings(self) -> list[Finding]:
        """What the monitors say now."""
        findings: list[Finding] = self._console.get(f"{self._path}/findings", list[Finding])
        return findings

    def decisions(self, limit: int = 50, before: str | None = None) -> dict[str, Any]:
        """The latest decisions: ``items``, and ``before`` for the next page."""
        page: dict[str, Any] = self._console.get(
            f"{self._path}/decisions", dict[str, Any], limit=limit, before=before
        )
        return page

    def history(self, offset: int = 0, limit: int = 50) -> Page[Route]:
        """All routes it ever had, newest first, as a page."""
        page: Page[Route] = self._console.get(
            f"{self._path}/history", Page[Route], offset=offset, limit=limit
        )
        return page


def fallback_steps(chain: Sequence[Any] | None) -> list[dict[str, Any]] | None:
    """A fallback chain as the API takes it: ``"model@1"`` names a version, anything else is a constant answer.

    A text that is itself a constant answer is given as ``{"constant": text}``, a rule table as
    ``{"rules": [...], "otherwise": answer}``.

    >>> fallback_steps(["credit@2", 0])
    [{'version': 'credit@2'}, {'constant': 0}]
    >>> fallback_steps([{"rules": [], "otherwise": 0}, {"label": 0}])
    [{'rules': [], 'otherwise': 0}, {'constant': {'label': 0}}]
    """
    if chain is None:
        return None
    steps: list[dict[str, Any]] = []
    for step in chain:
        if isinstance(step, dict) and step.keys() in ({"constant"}, {"version"}, {"rules", "otherwise"}):
            steps.append(step)
        elif isinstance(step, str | VersionRef):
            steps.append({"version": str(step)})
        else:
            steps.append({"constant": step})
    return steps
