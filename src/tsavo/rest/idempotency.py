"""The header ``Idempotency-Key``: what of a request must be the same, and how a reply is kept.

Specification: ``draft-ietf-httpapi-idempotency-key-header-07``. A key is taken as it stands, in quotes or not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from tsavo.endpoints.retries import Keeping, Replayed, Retries, digest_of
from tsavo.rest.compression import decompressed
from tsavo.rest.exchange import Exchange, Reply

__all__ = ["IDEMPOTENCY_KEY", "answer_once"]

IDEMPOTENCY_KEY: Final = b"idempotency-key"
_REPLAYED: Final = (b"idempotency-replayed", b"true")
# What says how the body is to be read. How the answer should look is not asked: it looks as it did.
_FORMATS: Final = (b"content-type", b"inference-header-content-length")
_ENCODING: Final = b"content-encoding"
_ANY_SIZE: Final = 1 << 40
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Reply)


async def answer_once(
    retries: Retries, exchange: Exchange, endpoint: str, answer: Callable[[], Awaitable[Reply]]
) -> Reply:
    """What `answer` gives, or what was given to the same request before.

    Parameters
    ----------
    endpoint
        That the request is about; keys of other endpoints are other keys.
    answer
        Answers the exchange; what it scores by `Exchange.infer` is kept.

    Raises
    ------
    Unreadable, Invalid, Conflict, Unavailable
        See `Retries.once`.
    """
    key = exchange.headers[IDEMPOTENCY_KEY]
    body = await exchange.body()
    said = (exchange.header(name) or b"" for name in _FORMATS)
    scope = exchange.scope
    address = scope["path"].encode()
    digest = await digest_of(b"rest", address, scope.get("query_string", b""), *said, body)

    async def act(keeping: Keeping) -> Reply:
        exchange.keep(lambda reply: keeping.keep(_ENCODER.encode(reply)))
        return await answer()

    given = await retries.once(endpoint, exchange.caller, key.decode("latin-1"), digest, act)
    if not isinstance(given, Replayed):
        return given
    kept = await _readable(_DECODER.decode(given.reply), exchange.header(b"accept-encoding") or b"")
    return kept.telling((_REPLAYED,))


async def _readable(reply: Reply, accepted: bytes) -> Reply:
    """The reply without its encoding where whoever asks now does not know that."""
    encoding = dict(reply.headers).get(_ENCODING)
    if encoding is None or encoding in accepted:
        return reply
    body = await decompressed(reply.body, encoding, _ANY_SIZE)
    headers = tuple(header for header in reply.headers if header[0] != _ENCODING)
    return Reply(body, reply.status, reply.content_type, headers)
