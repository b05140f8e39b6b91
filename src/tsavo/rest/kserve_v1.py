"""KServe's protocol V1, which TensorFlow Serving began.

POST /v1/models/{endpoint}:predict    score ``instances`` or ``inputs``
POST /v1/models/{endpoint}:explain    refused
GET  /v1/models/{endpoint}            whether it is ready
GET  /                                200 when the process is up
GET  /v1/models                       names of endpoints, ``?limit=`` of them ``&after=`` a name

Specification: KServe, "V1 protocol" (https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol).
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from tsavo.endpoints import InputTensor
from tsavo.rest.exchange import Exchange, Reply, Road, road
from tsavo.rest.scoring_answers import aside, predictions_reply, refuse_unless_ready
from tsavo.rest.scoring_tables import decode_json, from_columns, from_rows
from tsavo.vocabulary import Invalid, Refused, Signature

__all__ = ["ROADS", "read_instances"]

_EXPECTED: Final = '{"instances": [[...] or {...}, ...]} or {"inputs": {column: [...]}}'
_USUAL: Final = 1_000
_MOST: Final = 10_000


class _Body(msgspec.Struct):
    instances: list[Any] | None = None
    inputs: dict[str, Any] | list[Any] | None = None


_DECODER: Final = msgspec.json.Decoder(_Body)


def read_instances(body: bytes, signature: Signature) -> list[InputTensor]:
    """Read ``instances`` (rows), or ``inputs`` (columns by name, or rows).

    Raises
    ------
    Unreadable, Invalid
        When the body is not JSON, or neither of the two.
    """
    request = decode_json(body, _DECODER, _EXPECTED)
    if (request.instances is None) == (request.inputs is None):
        given = [name for name in ("instances", "inputs") if getattr(request, name) is not None]
        raise Invalid("not one table", field="body", found=given, expected=_EXPECTED)
    if request.instances is not None:
        return from_rows(request.instances, signature, "instances")
    if isinstance(request.inputs, dict):
        return from_columns(request.inputs, "inputs")
    return from_rows(request.inputs or [], signature, "inputs")


async def _predict(exchange: Exchange, endpoint: str) -> Reply:
    body = await exchange.body()
    spoken = await exchange.plane.spoken(endpoint)
    tensors = await aside(len(body), read_instances, body, spoken)
    return await exchange.infer(endpoint, tensors, predictions_reply)


async def _explain(exchange: Exchange, endpoint: str) -> Reply:
    exchange.plane.route(endpoint)
    raise Refused(
        "explanations are not given at this address",
        field="path",
        found=f"{endpoint}:explain",
        next_step=f"ask for predictions at /v1/models/{endpoint}:predict",
    )


async def _ready(exchange: Exchange, endpoint: str) -> Reply:
    await refuse_unless_ready(exchange.plane, endpoint)
    return Reply(msgspec.json.encode({"name": endpoint, "ready": True}))


async def _live(_exchange: Exchange) -> Reply:
    return Reply(b'{"status":"alive"}')


async def _list(exchange: Exchange) -> Reply:
    text = exchange.scope.get("query_string", b"").decode("latin-1")
    query = parse_qs(text, keep_blank_values=True)
    said = query.get("limit", [str(_USUAL)])[0]
    limit = int(said) if said.isascii() and said.isdigit() and len(said) < 9 else 0
    if not 0 < limit <= _MOST:
        raise Invalid("not a limit", field="limit", found=said, expected=f"1 to {_MOST}")
    # One more than asked for tells whether there are more.
    names = exchange.plane.names(after=query.get("after", [""])[0], limit=limit + 1)
    body: dict[str, Any] = {"models": names[:limit]}
    if len(names) > limit:
        body["next_after"] = names[limit - 1]
    return Reply(msgspec.json.encode(body))


ROADS = (
    road("POST", "/v1/models/{endpoint}:predict", _predict),
    road("POST", "/v1/models/{endpoint}:explain", _explain),
    # What follows a colon is another address: it takes no GET.
    Road("GET", re.compile("/v1/models/(?P<endpoint>[^/:]+)"), _ready),
    road("GET", "/v1/models", _list),
    road("GET", "/", _live),
)
