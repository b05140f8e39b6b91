"""Where a request comes from and how it went, for the record of its decisions."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import msgspec

__all__ = ["Course", "Origin", "request_digest"]

# Above this the event loop would be kept for longer than a millisecond.
_INLINE_BYTES: Final = 512 << 10


class Origin(msgspec.Struct, frozen=True, gc=False):
    """What a door knows of a request before it is scored.

    Attributes
    ----------
    caller
        Who calls.
    trace
        The trace that the request belongs to: 32 hexadecimal digits, or empty.
    digest
        SHA-256 of the request's body or message, as it was before anything was made of it; empty when not known.
    received, begun
        Nanoseconds since 1970 UTC at which the request was whole, and at which reading it began; 0 when not known.
    subject
        Whose data the request is, where its rows do not say so; never recorded as it is.
    """

    caller: str = ""
    trace: str = ""
    digest: bytes = b""
    received: int = 0
    begun: int = 0
    subject: str = ""


class Course(msgspec.Struct, frozen=True, gc=False):
    """When the steps of a request were done, in nanoseconds since 1970 UTC.

    Attributes
    ----------
    started
        It reached its endpoint; decoded, not yet validated.
    read
        Its rows were validated.
    scored
        Its outputs were there.
    """

    started: int
    read: int
    scored: int


async def request_digest(body: bytes) -> bytes:
    """SHA-256 of a request, 32 bytes."""
    if len(body) <= _INLINE_BYTES:
        return hashlib.sha256(body).digest()
    # hashlib lets others run meanwhile.
    return await asyncio.to_thread(lambda: hashlib.sha256(body).digest())
