"""W3C Trace Context: which trace a request belongs to, and what is said of our part in it.

A caller's trace is continued: same trace id, an id of our own for what we do. A request without a trace, or with one
that is not well-formed, belongs to none: Tsavo starts no traces of its own.

Specification: W3C Recommendation "Trace Context" (level 1, 23 November 2021), section 3; the flag ``random-trace-id``
is of level 2.
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

__all__ = ["Trace", "read_trace"]

# Version, trace id, parent id, flags; a later version may say more behind them.
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_UNUSABLE_VERSION: Final = "ff"
# sampled, and random-trace-id; all others are to be zero.
_KNOWN_FLAGS: Final = 0b11

_MOST_MEMBERS: Final = 32
# At least 512 characters are to be passed on; a gRPC client reads 8 KiB of trailers, reasons for a refusal included.
_MOST_STATE: Final = 1024
_KEY: Final = r"[a-z0-9][a-z0-9_\-*/@]{0,255}"
_VALUE: Final = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(rf"({_KEY})={_VALUE}", re.ASCII)


class Trace(NamedTuple):
    """Our part in a caller's trace.

    Attributes
    ----------
    trace_id
        32 hexadecimal digits, of the caller.
    span
        16 hexadecimal digits, of our own.
    flags
        Of the caller, as far as they are known.
    state
        The caller's ``tracestate``, unchanged; empty when there is none, or none that can be read, or it has more than
        1,024 characters.
    """

    trace_id: str
    span: str
    flags: int
    state: str = ""

    @property
    def traceparent(self) -> str:
        """Our part as the specification writes it (version 00)."""
        return f"00-{self.trace_id}-{self.span}-{self.flags:02x}"


def read_trace(traceparent: str, tracestate: str = "") -> Trace | None:
    """The trace that a request belongs to, with a new id for our part; ``None`` when `traceparent` is not well-formed.

    Parameters
    ----------
    tracestate
        Several headers of this name are one, joined by commas.

    Examples
    --------
    >>> read_trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").trace_id
    '4bf92f3577b34da6a3ce929d0e0e4736'
    >>> read_trace("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")
    """
    match = _TRACEPARENT.fullmatch(traceparent.strip(" \t"))
    if match is None:
        return None
    version, trace_id, parent, flags, more = match.groups()
    if version == _UNUSABLE_VERSION or (version == "00" and more is not None):
        return None
    if trace_id == _NO_TRACE or parent == _NO_SPAN:
        return None
    state = tracestate if tracestate and _is_state(tracestate) else ""
    return Trace(trace_id, _new_span(parent), int(flags, 16) & _KNOWN_FLAGS, state)


def _new_span(parent: str) -> str:
    while (span := os.urandom(8).hex()) in (_NO_SPAN, parent):
        continue
    return span


def _is_state(text: str) -> bool:
    """Whether it is a list of members ``key=value`` with different keys."""
    if len(text) > _MOST_STATE:
        return False
    # Empty members are allowed.
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    matches = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in matches if match is not None}
    return 0 < len(members) <= _MOST_MEMBERS and len(keys) == len(members)
