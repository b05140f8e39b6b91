"""What monitors say and what becomes of it: findings and alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = ["Alert", "AlertState", "Finding", "MonitorKind", "Note"]

MonitorKind: TypeAlias = Literal["drift", "quality", "latency", "performance", "comparison"]
AlertState: TypeAlias = Literal["open", "acknowledged", "resolved"]


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one monitor says after the rows it has seen.

    Attributes
    ----------
    monitor
        The monitor's name, unique within the endpoint, such as ``drift`` or ``performance``.
    subject
        The column, metric or version that it is about; ``""`` for the endpoint as a whole.
    time
        The time of the newest row it has seen.
    rows
        Rows seen since the monitor started.
    value
        The measured figure, in the unit that `text` names.
    low, high
        Bounds of `value` that hold at every look, where the monitor gives them.
    evidence
        The e-value: how many times better the alarm hypothesis bets than the null. ``None`` for plain figures.
    threshold
        The evidence at which the monitor alarms: one over its error budget.
    alarm
        Whether the evidence has ever reached the threshold.
    text
        One plain sentence.
    """

    endpoint: str
    monitor: str
    kind: MonitorKind
    subject: str
    version: str
    time: datetime
    rows: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    evidence: float | None = None
    threshold: float | None = None
    alarm: bool = False
    text: str = ""
    figures: dict[str, Any] = {}


class Note(msgspec.Struct, frozen=True):
    """What a person wrote on an alert."""

    by: str
    time: datetime
    text: str


class Alert(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding that used up its error budget, and what people did about it."""

    id: int
    endpoint: str
    monitor: str
    kind: MonitorKind
    subject: str
    version: str
    state: AlertState
    opened: datetime
    evidence: float
    budget: float
    text: str
    figures: dict[str, Any] = {}
    acknowledged: datetime | None = None
    acknowledged_by: str = ""
    resolved: datetime | None = None
    notes: tuple[Note, ...] = ()
