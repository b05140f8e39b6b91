"""What becomes of outcomes that are handed in."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["OutcomesRecorded"]

_SAMPLE: Final = 10


class OutcomesRecorded(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a table of outcomes.

    Attributes
    ----------
    recorded
        Outcomes that are kept.
    decisions
        Decisions that got one, where they were found by a business key.
    corrected, unchanged
        Decisions that had another outcome before, or the same.
    repeated
        Outcomes for a decision that a later row has one for, too: the later one counts.
    unknown
        Outcomes whose decision is not there. They are kept aside and join it by themselves when it comes.
    sample
        The first of the unknown: their rows, counted from 0, and their ids or keys.
    """

    recorded: int
    decisions: int = 0
    corrected: int = 0
    unchanged: int = 0
    repeated: int = 0
    unknown: int = 0
    sample: list[dict[str, Any]] = msgspec.field(default_factory=list)

    def plus(self, other: OutcomesRecorded, start: int) -> OutcomesRecorded:
        """The sum of both, where `other` is what came of the rows from `start` on."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__[:-1]}
        moved = [{**one, "row": one["row"] + start} for one in other.sample]
        return OutcomesRecorded(**counts, sample=(self.sample + moved)[:_SAMPLE])
