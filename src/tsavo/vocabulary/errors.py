"""Every refusal and failure a user can meet, as one small tree.

    TsavoError                     anything Tsavo says no to, in words a person can act on
    ├── BadInput                   what the caller sent is wrong, and sending it again will not help
    │   ├── Unreadable             it cannot be read at all: broken JSON, a file that is not what it says
    │   ├── Invalid                it can be read, but a named field is not what was expected
    │   └── TooLarge               it is larger than a stated limit
    ├── NotFound                   no such model, version, endpoint, decision, alert
    ├── Conflict                   it contradicts what is there now: a name taken, a home in use
    ├── Refused                    a rule says no
    │   ├── Untrusted              a file that can carry code, and nobody vouched for it
    │   ├── Disagreement           the compiled model does not answer as the original does
    │   └── Forbidden              the caller lacks the right
    ├── Unavailable                it would work at another time: plug pulled, worker starting
    │   └── Overloaded             too much at once; try again after a stated time
    └── Damaged                    a stored thing is not what was written

Doors (REST, gRPC, console, command line) translate these; nothing below a door knows an HTTP code.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "BadInput",
    "Conflict",
    "Damaged",
    "Disagreement",
    "Forbidden",
    "Invalid",
    "NotFound",
    "Overloaded",
    "Refused",
    "TooLarge",
    "TsavoError",
    "Unavailable",
    "Unreadable",
    "Untrusted",
]


class TsavoError(Exception):
    """A refusal or failure in words a person can act on.

    Parameters
    ----------
    reason
        One sentence: what is wrong.
    field
        The field, argument, column or path at fault.
    found, expected
        The offending value and what was expected instead.
    next_step
        What to do now.
    retry_after
        Seconds after which a retry makes sense, when one does.

    Examples
    --------
    >>> error = Invalid("wrong type", field="age", found="old", expected="a number", next_step="send a number")
    >>> str(error)
    "wrong type (field: age; found: 'old'; expected: a number). Next: send a number"
    """

    kind: ClassVar[str] = "failure"

    def __init__(
        self,
        reason: str,
        *,
        field: str | None = None,
        found: Any = None,
        expected: str | None = None,
        next_step: str | None = None,
        retry_after: float | None = None,
        details: Any = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.found = found
        self.expected = expected
        self.next_step = next_step
        self.retry_after = retry_after
        self.details = details

    def __str__(self) -> str:
        parts = []
        if self.field is not None:
            parts.append(f"field: {self.field}")
        if self.found is not None:
            parts.append(f"found: {_short(self.found)}")
        if self.expected is not None:
            parts.append(f"expected: {self.expected}")
        text = self.reason + (f" ({'; '.join(parts)})" if parts else "")
        return f"{text}. Next: {self.next_step}" if self.next_step else text

    def as_dict(self) -> dict[str, Any]:
        """The parts that are set, for a door to translate; values are shortened and JSON-safe."""
        parts: dict[str, Any] = {"kind": self.kind, "detail": str(self), "reason": self.reason}
        for name in ("field", "expected", "next_step", "retry_after", "details"):
            if (value := getattr(self, name)) is not None:
                parts[name] = value
        if self.found is not None:
            parts["found"] = _short(self.found)
        return parts


def _short(value: Any, limit: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


class BadInput(TsavoError):
    """What the caller sent is wrong, and sending it again will not help."""

    kind = "bad-input"


class Unreadable(BadInput):
    """It cannot be read at all: broken JSON, a file that is not what it says it is."""

    kind = "unreadable"


class Invalid(BadInput):
    """It can be read, but a named field is not what was expected."""

    kind = "invalid"


class TooLarge(BadInput):
    """It is larger than a stated limit."""

    kind = "too-large"


class NotFound(TsavoError):
    """There is no such model, version, endpoint, decision or alert."""

    kind = "not-found"


class Conflict(TsavoError):
    """It contradicts what is there now: a name taken, a home in use, a route changed meanwhile."""

    kind = "conflict"


class Refused(TsavoError):
    """A rule says no."""

    kind = "refused"


class Untrusted(Refused):
    """A file that can carry code, and nobody vouched for it."""

    kind = "untrusted"


class Disagreement(Refused):
    """The compiled model does not answer as the original does."""

    kind = "disagreement"


class Forbidden(Refused):
    """The caller lacks the right."""

    kind = "forbidden"


class Unavailable(TsavoError):
    """It would work at another time: plug pulled without a fallback, process starting or stopping."""

    kind = "unavailable"


class Overloaded(Unavailable):
    """Too much at once; try again after ``retry_after`` seconds."""

    kind = "overloaded"


class Damaged(TsavoError):
    """A stored thing is not what was written."""

    kind = "damaged"
