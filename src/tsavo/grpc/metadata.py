"""What a call says beside its message: who calls, its keys, and the trace that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from tsavo.endpoints.origins import Origin
from tsavo.endpoints.traces import Trace, read_trace
from tsavo.journal import KeptReply

__all__ = ["REPLAYED", "Asked", "read_metadata", "trace_metadata"]

_CALLER: Final = "x-tsavo-caller"
_SUBJECT: Final = "x-tsavo-subject"
_SUBJECT_BYTES: Final = "x-tsavo-subject-bin"
_SPLIT_KEY: Final = "x-tsavo-key"
_IDEMPOTENCY_KEY: Final = "idempotency-key"
_TRACEPARENT: Final = "traceparent"
_TRACESTATE: Final = "tracestate"
_TRACERESPONSE: Final = "traceresponse"
_MOST_CHARACTERS: Final = 100

REPLAYED: Final = (("idempotency-replayed", "true"),)
"""Said with an answer that was given before."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """Of one call.

    Attributes
    ----------
    caller
        Who calls, as far as the caller says: kept with the decision, cut to 100 characters.
    split_key
        By which a split is sticky.
    key
        Under which the answer is kept; ``None`` when it need not be.
    trace
        That the call belongs to.
    keep
        Makes of the encoded answer what is recorded with the decisions.
    digest, received
        SHA-256 of the message, and when it was whole (nanoseconds since 1970 UTC).
    subject
        Whose data the rows are, where they do not say so themselves; never recorded as it is.
    """

    caller: str = ""
    split_key: str = ""
    key: str | None = None
    trace: Trace | None = None
    keep: Callable[[bytes], KeptReply] | None = None
    digest: bytes = b""
    received: int = 0
    subject: str = ""

    @property
    def origin(self) -> Origin:
        """Where the call comes from, for the record of its decisions."""
        trace = "" if self.trace is None else self.trace.trace_id
        return Origin(self.caller, trace, self.digest, self.received, self.received, self.subject)


def read_metadata(pairs: Iterable[Any] | None) -> Asked:
    """Read a call's metadata; entries of other names are left alone."""
    caller = split_key = subject = ""
    key: str | None = None
    parents: list[str] = []
    states: list[str] = []
    for name, value in pairs or ():
        if name == _CALLER:
            caller = str(value)[:_MOST_CHARACTERS]
        elif name == _IDEMPOTENCY_KEY:
            key = str(value)
        elif name == _SPLIT_KEY:
            split_key = str(value)
        elif name == _SUBJECT:
            subject = str(value)
        elif name == _SUBJECT_BYTES:
            # Metadata is ASCII but for names with this ending.
            subject = bytes(value).decode(errors="replace")
        elif name == _TRACEPARENT:
            parents.append(str(value))
        elif name == _TRACESTATE:
            states.append(str(value))
    # Of several it is not known which one it is.
    trace = read_trace(parents[0], ",".join(states)) if len(parents) == 1 else None
    return Asked(caller, split_key, key, trace, subject=subject)


def trace_metadata(trace: Trace | None) -> tuple[tuple[str, str], ...]:
    """What is said of our part in the trace."""
    if trace is None:
        return ()
    told = ((_TRACERESPONSE, trace.traceparent), (_TRACEPARENT, trace.traceparent))
    return (*told, (_TRACESTATE, trace.state)) if trace.state else told
