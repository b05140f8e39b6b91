"""The roads of the Open Inference Protocol v2, REST.

POST /v2/models/{endpoint}/infer      score
GET  /v2/models/{endpoint}            metadata
GET  /v2/models/{endpoint}/ready      whether its champion is loaded and can answer
GET  /v2/models/{endpoint}/config     the configuration, as Triton's clients read it

The same below ``/v2/models/{endpoint}/versions/{version}`` for one of the versions that the route names: nothing
falls back for it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import msgspec

from tsavo.endpoints import Answer, LoadedVersion
from tsavo.endpoints.repository import version_numbers
from tsavo.rest.binary_tensors import LENGTH_HEADER
from tsavo.rest.exchange import Exchange, Reply, road
from tsavo.rest.model_documents import configuration, metadata
from tsavo.rest.open_inference import InferRequest, decode_request, encode_answer, encode_binary_answer
from tsavo.vocabulary import NotFound, Unavailable

__all__ = ["EXTENSIONS", "ROADS", "infer"]

EXTENSIONS: Final = (
    "binary_tensor_data",
    "model_configuration",
    "model_repository(index)",
    "parameters",
    "statistics",
)
"""Extensions of the protocol that this door has, by their specifications' names."""

_RAW: Final = b"application/octet-stream"
_MOST_DIGITS: Final = 18
# Binary bodies of more bytes are read in a thread, so that others are not kept waiting.
_INLINE: Final = 256 << 10


async def infer(exchange: Exchange, endpoint: str, version: str | None = None) -> Reply:
    """Score, and answer once the decisions are on disk."""
    pin = None if version is None else _number(exchange, endpoint, version)
    body = await exchange.body()
    json_length = exchange.header(LENGTH_HEADER)
    if json_length is not None and len(body) > _INLINE:
        # Strings are read one by one.
        request = await asyncio.to_thread(decode_request, body, json_length)
    else:
        request = decode_request(body, json_length)
    if exchange.keeps:
        write = partial(_written, exchange, request)
        return await exchange.infer(endpoint, request.tensors, write, wanted=request.wanted, pin=pin)
    # This road is the busiest, so it does without the calls in between.
    answer = await exchange.score(endpoint, request.tensors, request.wanted, pin)
    return await _written(exchange, request, answer)


async def _written(exchange: Exchange, request: InferRequest, answer: Answer) -> Reply:
    return await exchange.packed(_reply(request, answer))


def _reply(request: InferRequest, answer: Answer) -> Reply:
    if request.binary is None or request.binary:
        document, length = encode_binary_answer(answer, request)
        return Reply(document, content_type=_RAW, headers=((LENGTH_HEADER, b"%d" % length),))
    return Reply(encode_answer(answer, request))


async def _metadata(exchange: Exchange, endpoint: str, version: str | None = None) -> Reply:
    loaded = await _loaded(exchange, endpoint, version)
    numbers = version_numbers(exchange.plane.route(endpoint))
    described = exchange.plane.described(endpoint, loaded)
    return Reply(msgspec.json.encode(metadata(endpoint, described, loaded.state, numbers)))


async def _configuration(exchange: Exchange, endpoint: str, version: str | None = None) -> Reply:
    loaded = await _loaded(exchange, endpoint, version)
    return Reply(msgspec.json.encode(configuration(endpoint, exchange.plane.described(endpoint, loaded))))


async def _ready(exchange: Exchange, endpoint: str, version: str | None = None) -> Reply:
    loaded = await _loaded(exchange, endpoint, version)
    route = exchange.plane.route(endpoint)
    # Nothing falls back for a version that is asked for by its number.
    if route.plug is not None and route.champion == loaded.ref and (version or not route.fallback):
        raise Unavailable(
            f"the plug of '{endpoint}' is pulled",
            field="endpoint",
            found=endpoint,
            next_step=f"put it back with 'tsavo plug {endpoint} --off'",
        )
    state = loaded.state
    # Who is idle is loaded by the next request, and who failed before and is loaded again can answer.
    if state.name not in {"ready", "idle"}:
        reason = state.reason or f"{loaded.ref} is being loaded"
        raise Unavailable(reason, field="endpoint", found=endpoint, retry_after=state.retry_after)
    document = {"name": endpoint, "ready": True} | ({} if version is None else {"version": version})
    return Reply(msgspec.json.encode(document))


async def _loaded(exchange: Exchange, endpoint: str, version: str | None) -> LoadedVersion:
    if version is None:
        return await exchange.plane.champion(endpoint)
    return await exchange.plane.version(endpoint, _number(exchange, endpoint, version))


def _number(exchange: Exchange, endpoint: str, version: str) -> int:
    if version.isascii() and version.isdigit() and len(version) <= _MOST_DIGITS:
        return int(version)
    numbers = version_numbers(exchange.plane.route(endpoint))
    raise NotFound(
        f"endpoint '{endpoint}' has no such version",
        field="version",
        found=version,
        expected=f"one of {', '.join(map(str, numbers))}",
    )


ROADS = (
    road("POST", "/v2/models/{endpoint}/infer", infer),
    road("GET", "/v2/models/{endpoint}", _metadata),
    road("GET", "/v2/models/{endpoint}/ready", _ready),
    road("GET", "/v2/models/{endpoint}/config", _configuration),
    road("POST", "/v2/models/{endpoint}/versions/{version}/infer", infer),
    road("GET", "/v2/models/{endpoint}/versions/{version}", _metadata),
    road("GET", "/v2/models/{endpoint}/versions/{version}/ready", _ready),
    road("GET", "/v2/models/{endpoint}/versions/{version}/config", _configuration),
)
