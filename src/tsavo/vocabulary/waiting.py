"""Outcomes that wait for the decision that they belong to."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = ["WaitingOutcome"]


class WaitingOutcome(msgspec.Struct, frozen=True):
    """An outcome under a business key that no decision was found for.

    Attributes
    ----------
    key, value
        The feature's name and the value that its decision has.
    outcome
        What really happened; ``None`` withdraws an outcome.
    time
        The decision was made at or before this moment.
    within_seconds
        And no longer before it than this; ``None``: however long.
    every
        Whether it goes to every such decision, or to the latest only.
    observed
        When it was observed, where the caller said so.
    recorded, by
        When it came, and from whom.
    """

    endpoint: str
    key: str
    value: str | int | float | bool
    outcome: str | int | float | bool | None
    time: datetime
    within_seconds: float | None
    every: bool
    observed: datetime | None
    recorded: datetime
    by: str
