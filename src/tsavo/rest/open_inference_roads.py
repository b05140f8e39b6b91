"""The roads of the Open Inference Protocol v2, REST.

POST /v2/models/{endpoint}/infer      score
GET  /v2/models/{endpoint}            metadata
GET  /v2/models/{endpoint}/ready      whether its champion is loaded and can answer
"""

from __future__ import annotations

import msgspec

from tsavo.rest.exchange import Exchange, Reply, road
from tsavo.rest.open_inference import decode_request, encode_answer, metadata
from tsavo.vocabulary import Unavailable

__all__ = ["ROADS", "infer"]


async def infer(exchange: Exchange, endpoint: str) -> Reply:
    """Score, and answer once the decisions are on disk."""
    request = decode_request(await exchange.body())
    answer = await exchange.plane.infer(
        endpoint, request.tensors, wanted=request.wanted, caller=exchange.caller
    )
    return Reply(encode_answer(answer, request))


async def _metadata(exchange: Exchange, endpoint: str) -> Reply:
    champion = await exchange.plane.champion(endpoint)
    return Reply(msgspec.json.encode(metadata(endpoint, champion.version, champion.state)))


async def _ready(exchange: Exchange, endpoint: str) -> Reply:
    champion = await exchange.plane.champion(endpoint)
    state = champion.state
    # Who is idle is loaded by the next request, and who failed before and is loaded again can answer.
    if state.name not in {"ready", "idle"}:
        reason = state.reason or f"{champion.ref} is being loaded"
        raise Unavailable(reason, field="endpoint", found=endpoint, retry_after=state.retry_after)
    return Reply(msgspec.json.encode({"name": endpoint, "ready": True}))


ROADS = (
    road("POST", "/v2/models/{endpoint}/infer", infer),
    road("GET", "/v2/models/{endpoint}", _metadata),
    road("GET", "/v2/models/{endpoint}/ready", _ready),
)
