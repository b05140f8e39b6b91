"""Errors as gRPC statuses: a code, one line of reason, and when to come back.

Specification: gRPC, "Status codes and their use in gRPC"; the pause that a client with a retry policy keeps is
``grpc-retry-pushback-ms`` of gRFC A6.
"""

from __future__ import annotations

import math
from typing import Final

from grpc import StatusCode  # type: ignore[import-untyped]

from tsavo.vocabulary import (
    BadInput,
    Conflict,
    Forbidden,
    NotFound,
    Overloaded,
    Refused,
    TsavoError,
    Unavailable,
)

__all__ = ["code_of", "details_of", "trailers_of"]

# The first class that fits decides, so the special ones come first.
_CODES: Final[tuple[tuple[type[TsavoError], StatusCode], ...]] = (
    (BadInput, StatusCode.INVALID_ARGUMENT),
    (NotFound, StatusCode.NOT_FOUND),
    (Forbidden, StatusCode.PERMISSION_DENIED),
    (Conflict, StatusCode.FAILED_PRECONDITION),
    (Refused, StatusCode.FAILED_PRECONDITION),
    (Overloaded, StatusCode.RESOURCE_EXHAUSTED),
    (Unavailable, StatusCode.UNAVAILABLE),
)
# A client reads 8 KiB of trailers; each byte of the reason may take three there.
_MOST_BYTES: Final = 2_000
_PUSHBACK: Final = "grpc-retry-pushback-ms"


def code_of(error: TsavoError) -> StatusCode:
    """The status that fits an error.

    >>> code_of(NotFound("there is no such endpoint")).name
    'NOT_FOUND'
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), StatusCode.INTERNAL)


def details_of(error: TsavoError) -> str:
    """The error in one line with the field at fault, of at most 2,000 bytes.

    >>> details_of(Unavailable("the plug is pulled", field="endpoint", retry_after=1.0))
    'the plug is pulled (field: endpoint). Try again after 1 s'
    """
    text = " ".join(str(error).split())
    if error.retry_after is not None:
        text += f". Try again after {error.retry_after:g} s"
    encoded = text.encode()
    if len(encoded) <= _MOST_BYTES:
        return text
    return encoded[: _MOST_BYTES - 3].decode(errors="ignore") + "…"


def trailers_of(error: TsavoError) -> tuple[tuple[str, str], ...]:
    """When a client that retries by itself may do so.

    >>> trailers_of(Overloaded("too much at once", retry_after=0.25))
    (('grpc-retry-pushback-ms', '250'),)
    """
    if error.retry_after is None:
        return ()
    return ((_PUSHBACK, str(math.ceil(error.retry_after * 1000))),)
