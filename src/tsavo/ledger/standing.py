"""How the log is doing, as its keeper says: for the doctor, collectors of metrics, and pages.

What the log holds is for readers of the log to prove. This is what they cannot see there: that the keeper still looks
after it, when it last signed and anchored all there was, how often that failed, and why it does not write any more.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import msgspec

from tsavo.storage import write_atomically

__all__ = ["LedgerStanding", "keep_standing", "ledger_warnings", "read_standing"]

_FILE: Final = "ledger.json"
# A head or an anchor that is so many intervals late is worth a word: one that was missed may be a full disk's moment.
_LATE_INTERVALS: Final = 3
_LEAST_LATE_SECONDS: Final = 60.0


class LedgerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """The keeper's last word on its log. Times are seconds since 1970 UTC, 0 for never.

    Attributes
    ----------
    told
        When the keeper said this.
    closed
        Why nothing is written to the log, for it is damaged; empty while it is.
    every
        Seconds between two heads (``ledger.sign_seconds``).
    origin, entries, unexpected
        The log's name, its entries, and how many of them are about something that somebody else did.
    signed, signed_entries
        When there last was nothing that was not signed, and how many entries the newest head has.
    sign_failures
        Heads that could not be signed, since the keeper started.
    anchors
        Whether heads are kept elsewhere.
    anchored, anchored_entries
        When the newest head was last known to be there, and how many entries it has.
    anchor_failures, anchor_error
        How often that failed since the keeper started, and why the last time; empty when the last time it did not.
    """

    told: float = 0.0
    closed: str = ""
    every: float = 0.0
    origin: str = ""
    entries: int = 0
    unexpected: int = 0
    signed: float = 0.0
    signed_entries: int = 0
    sign_failures: int = 0
    anchors: bool = False
    anchored: float = 0.0
    anchored_entries: int = 0
    anchor_failures: int = 0
    anchor_error: str = ""

    @property
    def late_seconds(self) -> float:
        """How old a signed, or an anchored, head may be before somebody should look."""
        return max(_LATE_INTERVALS * self.every, _LEAST_LATE_SECONDS)


def read_standing(folder: Path) -> LedgerStanding | None:
    """What the keeper last said; ``None`` when it never did, or nobody can read it.

    Parameters
    ----------
    folder
        The home's folder for what concerns its processes (``run``).
    """
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=LedgerStanding)
    except (OSError, msgspec.MsgspecError):
        return None


def keep_standing(folder: Path, standing: LedgerStanding) -> None:
    """Say it. A disk that takes nothing keeps nobody from working: then the last word stays, and grows old."""
    with contextlib.suppress(OSError):
        write_atomically(folder / _FILE, msgspec.json.encode(standing))


def ledger_warnings(folder: Path, now: float) -> list[str]:
    """One sentence for everything about the log that somebody should know; none when all is well.

    Parameters
    ----------
    now
        Seconds since 1970 UTC.
    """
    told = read_standing(folder)
    if told is None:
        return []
    if told.closed:
        return [
            f"The log by which tampering is found is closed: {told.closed}. Nothing is logged until it is mended."
        ]
    warnings = []
    if told.signed and now - told.signed > told.late_seconds:
        warnings.append(
            f"The log by which tampering is found has not been signed for {(now - told.signed) / 60:.0f} minutes."
        )
    if told.anchor_error:
        since = f"for {(now - told.anchored) / 60:.0f} minutes" if told.anchored else "yet"
        warnings.append(f"The log's signed heads have not been kept elsewhere {since}: {told.anchor_error}.")
    return warnings
