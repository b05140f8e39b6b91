"""What the console works with; the app room builds it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from tsavo.actions import ControlPlane
from tsavo.lake import Lake
from tsavo.storage import Home
from tsavo.vocabulary import Finding, Retention

__all__ = ["ConsoleParts", "OutcomeJournal"]


class OutcomeJournal(Protocol):
    """Where outcomes are recorded."""

    def append_blocking(self, payload: bytes) -> None:
        """Keep `payload`; it is on disk when this returns."""
        ...


class ConsoleParts(NamedTuple):
    """Everything the control plane touches.

    Attributes
    ----------
    findings
        What the monitors of an endpoint say now.
    owner
        The person who acts when a request names nobody: who started this process.
    retention
        How long rows are kept where an endpoint does not say.
    exports
        Where scheduled exports are written, if not in the home.
    """

    plane: ControlPlane
    lake: Lake
    findings: Callable[[str], list[Finding]]
    outcomes: OutcomeJournal
    gateway_url: str
    console_url: str
    home: Home
    owner: str
    started: datetime
    retention: Retention = Retention()
    exports: Path | None = None
