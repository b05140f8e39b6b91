"""What a monitor is, what it is told at its start, and what it says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

import msgspec
import pyarrow as pa

from tsavo.vocabulary import Finding, MonitorKind, Signature, VersionRef

__all__ = ["BaseMonitor", "Monitor", "MonitorContext", "MonitorPoint", "MonitorSettings", "utc"]


class MonitorSettings(msgspec.Struct, frozen=True):
    """Error budgets and what is tolerated.

    Attributes
    ----------
    drift_alpha, quality_alpha, latency_alpha, performance_alpha
        The largest chance that the monitor *ever* raises a false alarm on this endpoint and version, over all
        its columns or metrics together.
    comparison_alpha
        The largest chance that the interval of a comparison is ever wrong.
    quality_slack
        How much larger than in the reference the share of bad rows may become.
    range_slack
        How far outside the reference's range a number may lie, as a multiple of that range's width.
    missing_share
        A missing value counts as bad where at most this share of the reference is missing.
    latency_objective_us, latency_share
        At most this share of requests may take longer than the objective, in microseconds.
    performance_slack
        How much larger than on the reference the mean loss, on its scale of 0 to 1, may become.
    """

    drift_alpha: float = 0.01
    quality_alpha: float = 0.01
    latency_alpha: float = 0.01
    performance_alpha: float = 0.01
    comparison_alpha: float = 0.05
    quality_slack: float = 0.01
    range_slack: float = 0.5
    missing_share: float = 0.05
    latency_objective_us: int = 50_000
    latency_share: float = 0.01
    performance_slack: float = 0.02


class MonitorContext(msgspec.Struct, frozen=True):
    """What the monitors of one endpoint and champion version start from.

    Attributes
    ----------
    reference
        The signature's input columns, the target under its own name, and the model's outputs as
        ``prediction.<output>`` (or ``prediction.<output>.<k>``), as in `vocabulary.Reference`. ``None`` when
        the version has none.
    target
        The column of `reference` that holds what really happened.
    challenger
        The shadow to compare with, when it is known beforehand; others are found in the rows.
    """

    endpoint: str
    version: VersionRef
    signature: Signature
    reference: pa.Table | None
    target: str | None = None
    challenger: VersionRef | None = None
    settings: MonitorSettings = MonitorSettings()


class MonitorPoint(msgspec.Struct, frozen=True):
    """One point of a chart: a figure over the rows of one minute.

    A minute that two batches share gives two points; `rows` tells their weights. For drift, the value is the
    evidence after the last of the rows.
    """

    endpoint: str
    monitor: str
    subject: str
    time: datetime
    value: float
    rows: int
    low: float | None = None
    high: float | None = None


class Monitor(Protocol):
    """A statistical process over the decisions of one endpoint and champion version."""

    @property
    def name(self) -> str:
        """Unique within the endpoint."""

    @property
    def kind(self) -> MonitorKind:
        """What it watches."""

    def observe(self, decisions: pa.Table) -> None:
        """Take in decisions, in order of arrival."""

    def observe_labelled(self, rows: pa.Table) -> None:
        """Take in decisions with their `outcome`, each decision once, in order of arrival."""

    def findings(self) -> list[Finding]:
        """What there is to say now; nothing before the first row."""

    def points(self) -> list[MonitorPoint]:
        """The points since the last call."""

    def state(self) -> bytes:
        """All there is to go on from, given the same context."""

    def restore(self, state: bytes) -> None:
        """Go on where `state` was taken; raise `Damaged` when it is not this monitor's state."""


class BaseMonitor:
    """What all monitors share: who they are, how many rows they have seen until when, and their points.

    `rows` counts decisions or labelled decisions, whichever the monitor lives on.
    """

    name: ClassVar[str]
    kind: ClassVar[MonitorKind]

    def __init__(self, context: MonitorContext) -> None:
        self.context = context
        self.rows = 0
        self.newest_us = 0
        self._points: list[MonitorPoint] = []

    def observe(self, decisions: pa.Table) -> None:
        """Take in decisions, in order of arrival."""

    def observe_labelled(self, rows: pa.Table) -> None:
        """Take in decisions with their `outcome`, each decision once, in order of arrival."""

    def points(self) -> list[MonitorPoint]:
        """The points since the last call."""
        drained, self._points = self._points, []
        return drained

    def _point(self, subject: str, minute: int, value: float, rows: int) -> None:
        context = self.context
        time = utc(minute * 60_000_000)
        self._points.append(MonitorPoint(context.endpoint, self.name, subject, time, float(value), int(rows)))

    def _finding(self, subject: str, **parts: Any) -> Finding:
        return Finding(
            endpoint=self.context.endpoint,
            monitor=self.name,
            kind=self.kind,
            subject=subject,
            version=str(self.context.version),
            time=utc(self.newest_us),
            **{"rows": self.rows, **parts},
        )


def utc(microseconds: int) -> datetime:
    """The time that is `microseconds` after 1970 UTC."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(
        microsecond=microseconds % 1_000_000
    )
