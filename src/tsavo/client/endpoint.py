"""An endpoint, as a handle: score, send outcomes, look, switch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import pyarrow as pa

from tsavo.client.scoring import Scores, score
from tsavo.client.tables import as_table
from tsavo.client.transport import Transport
from tsavo.vocabulary import Finding, Invalid, Route

__all__ = ["Endpoint", "fallback_steps"]

_OUTCOMES_A_CALL: Final = 50_000


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

    def score(self, data: Any) -> Scores:
        """Score a table: a DataFrame, an Arrow table, a dict of columns, or a list of row dicts.

        When this returns, every decision is on the server's disk.
        """
        return score(self._gateway, self.name, as_table(data))

    def outcomes(
        self, data: Any, *, decision: str = "decision_id", outcome: str = "outcome", time: str = "time"
    ) -> int:
        """Record what really happened; return how many outcomes were recorded.

        Parameters
        ----------
        data
            A table with a column of decision ids and one of outcomes; perhaps one of the times they were observed.
        decision, outcome, time
            What those columns are called.
        """
        table = as_table(data)
        for name in (decision, outcome):
            if name not in table.column_names:
                raise Invalid(
                    "a column is missing",
                    field=name,
                    found=table.column_names[:20],
                    expected=f"the column '{name}'",
                )
        recorded = 0
        for start in range(0, table.num_rows, _OUTCOMES_A_CALL):
            piece = table.slice(start, _OUTCOMES_A_CALL)
            body: dict[str, Any] = {
                "decisions": piece.column(decision).to_pylist(),
                "values": piece.column(outcome).to_pylist(),
            }
            if time in table.column_names:
                body["observed"] = _times(piece.column(time))
            recorded += self._console.post(f"{self._path}/outcomes", body)["recorded"]
        return recorded

    def plug(self, why: str = "", *, fallback: Sequence[Any] | None = None) -> Route:
        """Pull the plug: the fallback answers from now on. See `Client.deploy` for `fallback`."""
        body = {"why": why, "fallback": fallback_steps(fallback)}
        route: Route = self._console.post(f"{self._path}/plug", body, Route)
        return route

    def unplug(self, why: str = "") -> Route:
        """Let the champion answer again."""
        route: Route = self._console.post(f"{self._path}/unplug", {"why": why}, Route)
        return route

    def promote(self, version: str | None = None, *, why: str = "") -> Route:
        """Make the shadow challenger (or the one named) the champion."""
        route: Route = self._console.post(f"{self._path}/promote", {"version": version, "why": why}, Route)
        return route

    def rollback(self, *, why: str = "") -> Route:
        """Go back to the champion before the present one."""
        route: Route = self._console.post(f"{self._path}/rollback", {"why": why}, Route)
        return route

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

    def history(self, offset: int = 0, limit: int = 50) -> dict[str, Any]:
        """All routes it ever had, newest first, as a page."""
        page: dict[str, Any] = self._console.get(
            f"{self._path}/history", dict[str, Any], offset=offset, limit=limit
        )
        return page


def fallback_steps(chain: Sequence[Any] | None) -> list[dict[str, Any]] | None:
    """A fallback chain as the API takes it: ``"model@1"`` names a version, anything else is a constant answer.

    A text that is itself a constant answer is given as ``{"constant": text}``.
    """
    if chain is None:
        return None
    steps: list[dict[str, Any]] = []
    for step in chain:
        if isinstance(step, dict) and step.keys() in ({"constant"}, {"version"}):
            steps.append(step)
        elif isinstance(step, str):
            steps.append({"version": step})
        else:
            steps.append({"constant": step})
    return steps


def _times(column: pa.ChunkedArray) -> list[str | None]:
    """Times in ISO 8601; those without a zone are taken to be UTC."""

    def one(value: Any) -> str | None:
        if value is None:
            return None
        text = value.isoformat() if isinstance(value, datetime) else str(value)
        return text if text.endswith("Z") or "+" in text[10:] or "-" in text[10:] else f"{text}Z"

    return [one(value) for value in column.to_pylist()]
