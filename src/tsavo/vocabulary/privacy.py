"""Personal data: which columns hold it, whose it is, and what became of it."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import msgspec

from tsavo.vocabulary.errors import Invalid

__all__ = ["Erasure", "Privacy", "Revealed", "decision_context", "subject_text"]

_LONGEST: int = 256


class Privacy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which inputs of an endpoint are recorded so that only the key of a data subject opens them.

    Attributes
    ----------
    subject
        The input column that says whose data a row is; ``None``: callers say it beside the request. Its values are
        sealed as well.
    personal
        Input columns whose values are sealed.
    """

    subject: str | None = None
    personal: tuple[str, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """Every column that is sealed."""
        return frozenset(self.personal) | ({self.subject} if self.subject is not None else frozenset())


class Erasure(msgspec.Struct, frozen=True):
    """What erasing a data subject came to.

    Attributes
    ----------
    id
        UUIDv7.
    subject
        The pseudonym, under which the subject's decisions go on being counted and joined.
    keys
        Keys that were destroyed; what they had sealed can be read by nobody.
    backups
        Folders of backups that were seen to, and how many copies of keys were destroyed in each.
    unreached
        Folders of backups that this home knows of and that were not there: see to them when they are.
    pending
        Whether the keeper is still at it: backups, and rows from before endpoints were told what is personal.
    rows
        Rows from before that, recorded in plain text, that were deleted.
    waiting
        Outcomes under the subject's key that waited for their decisions and were deleted.
    samples
        Rows of versions' samples of training data that were deleted.
    found
        Files in which the subject's key still stands in plain text, and what to do about each.
    """

    id: str
    subject: str
    time: datetime
    by: str
    why: str
    keys: int = 0
    backups: dict[str, int] = {}
    unreached: tuple[str, ...] = ()
    pending: bool = False
    rows: int = 0
    waiting: int = 0
    samples: int = 0
    found: dict[str, str] = {}


class Revealed(msgspec.Struct, frozen=True):
    """What the sealed columns of a decision say.

    Attributes
    ----------
    values
        Column -> value; empty when the subject was erased.
    erased
        When the subject was erased, if it was.
    """

    decision_id: str
    subject: str
    values: dict[str, Any]
    erased: datetime | None = None


def decision_context(decision: str, endpoint: str, version: str) -> str:
    """What sealed values of a decision are bound to, so that they open in no other place."""
    return f"{decision} {endpoint} {version}"


def subject_text(value: Any, field: str = "subject") -> str:
    """The text by which a data subject is known: equal for 7, 7.0 and ``"7"``.

    Raises
    ------
    Invalid
        For what names nobody: a missing value, a fraction, a truth value, an empty or overlong text.

    >>> subject_text(7.0)
    '7'
    """
    match value:
        case str() if value.strip() and len(value) <= _LONGEST:
            return value.strip()
        case bool():
            pass
        case int():
            return str(value)
        case float() if math.isfinite(value) and value == int(value):
            return str(int(value))
    raise Invalid(
        "a row does not say whose data it is",
        field=field,
        found=value if not isinstance(value, str) else f"{len(value)} characters",
        expected=f"text of 1 to {_LONGEST} characters, or a whole number",
        next_step="this endpoint records personal data, which it must be able to erase: send the subject's key",
    )
