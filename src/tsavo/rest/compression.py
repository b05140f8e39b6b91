"""Compressed bodies: requests unpacked within the limit, answers packed for those who ask for nothing else.

Specification: RFC 9110, section 8.4.1 (gzip; deflate, which is the zlib format).
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from tsavo.vocabulary import TooLarge, Unreadable

__all__ = ["WORTH_PACKING", "compressed", "decompressed"]

# What zlib calls the two formats.
_WINDOWS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
# So much takes less than a millisecond; what is larger goes to a thread.
_INLINE: Final = 64 << 10
_LEVEL: Final = 1

WORTH_PACKING: Final = 8 << 10
"""Bytes of an answer from which on packing it is worth while; smaller ones fit a few packets."""


async def decompressed(body: bytes, encoding: bytes | None, limit: int) -> bytes:
    """The body as it was before it was packed.

    Parameters
    ----------
    encoding
        The header ``Content-Encoding``.
    limit
        Bytes that it may have; it is not unpacked any further.

    Raises
    ------
    Unreadable
        For another encoding, or data that is not in it.
    TooLarge
        When it is longer than `limit`.
    """
    if encoding is None or encoding == b"identity":
        return body
    window = _WINDOWS.get(encoding.lower())
    if window is None:
        raise Unreadable(
            "not an encoding that can be unpacked here",
            field="Content-Encoding",
            found=encoding.decode("latin-1"),
            expected="gzip, deflate, or none",
        )
    unpacking = zlib.decompressobj(window)
    if len(body) > _INLINE:
        return await asyncio.to_thread(_unpacked, unpacking, body, limit)
    try:
        first = unpacking.decompress(body, min(_INLINE, limit + 1))
    except zlib.error as error:
        raise _broken(str(error)) from error
    if unpacking.eof or len(first) > limit:
        return _checked(unpacking, first, limit)
    if not unpacking.unconsumed_tail:
        # It may still hold a little back.
        return _unpacked(unpacking, b"", limit, first)
    return await asyncio.to_thread(_unpacked, unpacking, unpacking.unconsumed_tail, limit, first)


async def compressed(body: bytes, accepted: bytes) -> bytes | None:
    """The body in the one encoding that the client asks for; ``None`` when it had better stay as it is.

    Most clients say that they can read a list of encodings, whether or not they are better off for it; one that names
    a single one asks for it.

    Parameters
    ----------
    accepted
        The header ``Accept-Encoding``.
    """
    window = _WINDOWS.get(accepted.lower())
    if window is None or len(body) < WORTH_PACKING:
        return None
    if len(body) > _INLINE:
        return await asyncio.to_thread(_packed, body, window)
    return _packed(body, window)


def _packed(body: bytes, window: int) -> bytes:
    return zlib.compress(body, _LEVEL, window)


def _unpacked(unpacking: zlib._Decompress, packed: bytes, limit: int, first: bytes = b"") -> bytes:
    try:
        rest = unpacking.decompress(packed, limit + 1 - len(first))
    except zlib.error as error:
        raise _broken(str(error)) from error
    return _checked(unpacking, first + rest, limit)


def _checked(unpacking: zlib._Decompress, body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise TooLarge(
            "the request is too large once it is unpacked",
            field="body",
            found=f"more than {limit} bytes",
            expected=f"at most {limit} bytes",
            next_step="send fewer rows in each request",
        )
    if not unpacking.eof:
        raise _broken("it ends too early")
    if unpacking.unused_data:
        raise _broken("something follows its end")
    return body


def _broken(reason: str) -> Unreadable:
    return Unreadable(
        f"the body cannot be unpacked: {reason}", field="body", expected="what Content-Encoding says"
    )
