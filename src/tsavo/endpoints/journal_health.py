"""How the journals of a home are doing, for people: what the gateway workers say, and what stands in the folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from tsavo.endpoints import statistics_file as layout
from tsavo.endpoints.figures import standing_in
from tsavo.journal import damage_reports
from tsavo.journal.places import State

__all__ = ["JournalHealth", "journal_health", "journal_warnings"]

_GIB: Final = 1 << 30
# The keeper ships each second: what waits longer than this shows that it does not.
_LATE_SECONDS: Final = 900.0
_SILENT_SECONDS: Final = 10.0
_SHOWN_SECONDS: Final = 24 * 3600.0

_WORDS: Final[dict[State, str]] = {
    "nearly full": "is nearly full: see why the keeper does not ship, or make room on its disk",
    "refusing": "cannot be written: requests are refused with 503 until it can",
    "spilling": "cannot be written: decisions go to the second place until it can",
    "not recording": "cannot be written: requests are answered, and decisions are NOT recorded",
}


class JournalHealth(msgspec.Struct, frozen=True):
    """What a gateway worker says of its journal.

    Attributes
    ----------
    state
        ``well``, ``nearly full``, ``refusing``, ``spilling`` or ``not recording``.
    bytes, most_bytes, free_bytes
        What it takes, what it may take (0: no bound), and what is free on its disk.
    oldest_seconds
        Age of the oldest record that is not in the lake; ``None`` when all are.
    spilled
        Records that went to the second place since ``tsavo up``.
    unrecorded
        Decisions that were answered and not recorded since ``tsavo up``.
    """

    name: str
    state: State
    bytes: int
    most_bytes: int
    free_bytes: int
    oldest_seconds: float | None
    spilled: int
    unrecorded: int


def journal_health(statistics: Path, now: datetime) -> list[JournalHealth]:
    """Of each gateway worker that said something in the last seconds.

    Parameters
    ----------
    statistics
        The folder of the workers' counters.
    """
    found = []
    nanoseconds = int(now.timestamp() * 1e9)
    for path in sorted(statistics.glob("gateway-*")):
        try:
            with path.open("rb") as file:
                header = np.frombuffer(file.read(layout.HEADER * layout.WORD), np.int64).tolist()
        except OSError:
            continue
        if len(header) < layout.HEADER or header[layout.H_MAGIC] != layout.MAGIC:
            continue
        if nanoseconds - header[layout.H_PULSE] > _SILENT_SECONDS * 1e9:
            continue
        told = standing_in(header)
        age = max(0.0, (nanoseconds - told.oldest) / 1e9) if told.oldest else None
        found.append(
            JournalHealth(
                path.name,
                told.state,
                told.bytes,
                told.most_bytes,
                told.free_bytes,
                age,
                told.spilled,
                told.unrecorded,
            )
        )
    return found


def journal_warnings(statistics: Path, folder: Path, now: datetime) -> list[str]:
    """One sentence for everything about the journals in `folder` that somebody should know; none when all is well."""
    warnings = []
    for one in journal_health(statistics, now):
        if one.state != "well":
            warnings.append(f"The journal of {one.name} {_WORDS[one.state]}.")
        if one.unrecorded:
            warnings.append(
                f"{one.unrecorded:,} decisions of {one.name} were answered and not recorded since 'tsavo up'."
            )
        if one.oldest_seconds is not None and one.oldest_seconds > _LATE_SECONDS:
            waiting = f"{one.bytes / _GIB:.2f} GiB wait"
            warnings.append(
                f"The journal of {one.name} has not been shipped for {one.oldest_seconds / 60:.0f} minutes; {waiting}."
            )
    for report in damage_reports(folder):
        if now.timestamp() - report.time / 1e9 < _SHOWN_SECONDS:
            moment = datetime.fromtimestamp(report.time / 1e9, UTC)
            saved = "is being read" if report.salvaged is None else f"{report.salvaged:,} records were saved"
            warnings.append(
                f"A journal was damaged at {moment:%Y-%m-%d %H:%M} UTC: {saved}, {report.lost_records:,} are lost. "
                f"It is kept as {Path(report.file).name}."
            )
    return warnings
