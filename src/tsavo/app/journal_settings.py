"""Settings of the journals: what becomes of decisions that the disk does not take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tsavo.vocabulary import Invalid

if TYPE_CHECKING:
    from tsavo.journal import WhenFull

__all__ = ["JournalSettings"]

_WHEN_FULL: Final[tuple[WhenFull, ...]] = ("refuse", "spill", "answer-and-flag")


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of decisions that the disk does not take; each gateway process and the console have a journal.

    Attributes
    ----------
    when_full
        ``refuse``, ``spill`` or ``answer-and-flag``.
    spill
        A folder on another disk, for ``spill``.
    most_gib
        How large one journal may grow while the keeper does not ship; 0 for no bound.
    least_free_mib
        How much stays free on the journal's disk; 0 for no bound.
    patience_seconds
        A disk that takes longer for one commit is one that does not answer.
    """

    when_full: str = "refuse"
    spill: str = ""
    most_gib: float = 20.0
    least_free_mib: int = 256
    patience_seconds: float = 10.0

    def check(self) -> None:
        """Raise `Invalid` when they make no sense."""
        if self.when_full not in _WHEN_FULL:
            raise Invalid(
                "a setting is wrong",
                field="journal.when_full",
                found=self.when_full,
                expected=f"one of {', '.join(_WHEN_FULL)}",
            )
        if (self.when_full == "spill" or self.spill) and not Path(self.spill).is_absolute():
            raise Invalid(
                "a setting is wrong",
                field="journal.spill",
                found=self.spill,
                expected="the full path of a folder, on another disk than the home",
            )
        _within("journal.most_gib", self.most_gib, 0, 1 << 20)
        _within("journal.least_free_mib", self.least_free_mib, 0, 1 << 30)
        _within("journal.patience_seconds", self.patience_seconds, 0.1, 3600)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise Invalid("a setting is out of range", field=name, found=value, expected=f"{low:,} to {high:,}")
