"""The model repository extension: its index. What is loaded, routes say, and those the control plane keeps.

POST /v2/repository/index                     versions of all endpoints; {"ready": true} for those that can answer
POST /v2/repository/models/{endpoint}/load    refused
POST /v2/repository/models/{endpoint}/unload  refused

Specification: "Model Repository Extension"
(https://github.com/triton-inference-server/server/tree/main/docs/protocol).
"""

from __future__ import annotations

from typing import Final

import msgspec

from tsavo.endpoints.repository import load_refusal, repository_index, unload_refusal
from tsavo.rest.exchange import Exchange, Reply, road
from tsavo.vocabulary import Invalid, Unreadable

__all__ = ["ROADS"]


class _Question(msgspec.Struct):
    ready: bool = False


_DECODER: Final = msgspec.json.Decoder(_Question)


async def _index(exchange: Exchange) -> Reply:
    body = await exchange.body()
    question = _read(body) if body else _Question()
    return Reply(msgspec.json.encode(await repository_index(exchange.plane, ready=question.ready)))


def _read(body: bytes) -> _Question:
    expected = '{"ready": true}, {"ready": false} or no body'
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        raise Invalid(
            f"not a question for the index: {reason}", field=path.strip("`$.") or "body", expected=expected
        ) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable("the body is not valid JSON", field="body", expected=expected) from error


async def _load(exchange: Exchange, endpoint: str) -> Reply:
    raise load_refusal(exchange.plane.route(endpoint))


async def _unload(exchange: Exchange, endpoint: str) -> Reply:
    raise unload_refusal(exchange.plane.route(endpoint))


ROADS = (
    road("POST", "/v2/repository/index", _index),
    road("POST", "/v2/repository/models/{endpoint}/load", _load),
    road("POST", "/v2/repository/models/{endpoint}/unload", _unload),
)
