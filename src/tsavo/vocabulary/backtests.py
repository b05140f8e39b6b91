"""Back-tests: what another version would have answered to recorded decisions."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tsavo.vocabulary.names import VersionRef

__all__ = ["Backtest"]


class Backtest(msgspec.Struct, frozen=True):
    """One run of a version over the decisions of an endpoint.

    Attributes
    ----------
    name
        Of its table, which SQL knows as ``"backtest:<name>"``.
    since, until
        Decisions in [`since`, `until`).
    after
        The last request that was asked.
    decisions, failed
        Rows so far, and those of them to which the version gave no answer.
    finished
        When the last one was asked; ``None`` while there are more.
    """

    name: str
    version: VersionRef
    endpoint: str
    since: datetime | None
    until: datetime
    created: datetime
    created_by: str
    after: str = ""
    decisions: int = 0
    failed: int = 0
    finished: datetime | None = None

    @property
    def view(self) -> str:
        """Its name in SQL."""
        return f"backtest:{self.name}"
