"""MLflow's scoring protocol 2.0, which is SageMaker's too, for each endpoint.

POST /endpoints/{endpoint}/invocations    score JSON or CSV
GET  /endpoints/{endpoint}/ping           200 when it can answer, else 503
GET  /endpoints/{endpoint}/health         the same
GET  /endpoints/{endpoint}/version        Tsavo's version

The same without ``/endpoints/{endpoint}``, where these protocols expect them, as long as there is one endpoint only.

Specification: MLflow, "Model scoring server" (``mlflow.pyfunc.scoring_server``), protocol of MLflow 2.0 and later.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import msgspec

from tsavo.endpoints import InputTensor
from tsavo.rest.exchange import Exchange, Reply, road
from tsavo.rest.scoring_answers import aside, predictions_reply, refuse_unless_ready
from tsavo.rest.scoring_tables import decode_json, from_columns, from_csv, from_rows, media_type
from tsavo.vocabulary import Invalid, NotFound, Signature, Unreadable

__all__ = ["ROADS"]

_VERSION: Final = Reply(version("tsavo").encode(), content_type=b"text/plain; charset=utf-8")
_HEALTHY: Final = Reply(b"\n")
_EXPECTED: Final = (
    "one of dataframe_split {columns, data}, dataframe_records [{...}], instances [...], "
    "inputs {column: [...]} or [[...]]"
)


class _Split(msgspec.Struct, forbid_unknown_fields=True):
    data: list[Any]
    columns: list[str] | None = None
    index: Any = None


class _Body(msgspec.Struct):
    dataframe_split: _Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[Any] | None = None
    inputs: dict[str, Any] | list[Any] | None = None
    params: dict[str, Any] | None = None


_DECODER: Final = msgspec.json.Decoder(_Body)


def read_json(body: bytes, signature: Signature) -> list[InputTensor]:
    """Read a JSON body; other members of it than the protocol's are left alone, as MLflow leaves them.

    Raises
    ------
    Unreadable, Invalid
        When it is not JSON, or not one of the four forms.
    """
    request = decode_json(body, _DECODER, _EXPECTED)
    if request.params:
        raise Invalid(
            "a version has no parameters",
            field=f"params.{next(iter(request.params))[:100]}",
            found=request.params,
            expected="no params, or an empty object",
        )
    forms = ("dataframe_split", "dataframe_records", "instances", "inputs")
    given = [form for form in forms if getattr(request, form) is not None]
    if len(given) != 1:
        raise Invalid("not one table", field="body", found=given, expected=_EXPECTED)
    if request.dataframe_split is not None:
        return _split(request.dataframe_split, signature)
    if request.dataframe_records is not None:
        return from_rows(request.dataframe_records, signature, "dataframe_records")
    if request.instances is not None:
        return from_rows(request.instances, signature, "instances")
    if isinstance(request.inputs, dict):
        return from_columns(request.inputs, "inputs")
    return from_rows(request.inputs or [], signature, "inputs")


def _split(split: _Split, signature: Signature) -> list[InputTensor]:
    return from_rows(split.data, signature, "dataframe_split.data", split.columns)


async def _invocations(exchange: Exchange, endpoint: str) -> Reply:
    body = await exchange.body()
    spoken = await exchange.plane.spoken(endpoint)
    kind = media_type(exchange.header(b"content-type"))
    if kind not in _READERS:
        raise Unreadable(
            "not a content type of this address",
            field="Content-Type",
            found=kind,
            expected="application/json or text/csv",
            next_step=f"Arrow tables go to /endpoints/{endpoint}/score",
        )
    tensors = await aside(len(body), _READERS[kind], body, spoken)
    return await exchange.infer(endpoint, tensors, predictions_reply)


_READERS: Final = {
    "application/json": read_json,
    # What curl and browsers say when nobody tells them.
    "": read_json,
    "application/x-www-form-urlencoded": read_json,
    "text/csv": from_csv,
}


async def _ping(exchange: Exchange, endpoint: str) -> Reply:
    await refuse_unless_ready(exchange.plane, endpoint)
    return _HEALTHY


async def _version(exchange: Exchange, endpoint: str) -> Reply:
    exchange.plane.route(endpoint)
    return _VERSION


def _only(exchange: Exchange) -> str:
    plane = exchange.plane
    if plane.endpoints == 1:
        return plane.names(limit=1)[0]
    raise NotFound(
        "this address is for a gateway with one endpoint",
        field="path",
        found=f"{plane.endpoints} endpoints",
        expected="exactly one",
        next_step=f"use /endpoints/{{endpoint}}{exchange.scope['path']}",
    )


async def _only_invocations(exchange: Exchange) -> Reply:
    return await _invocations(exchange, _only(exchange))


async def _only_ping(exchange: Exchange) -> Reply:
    return await _ping(exchange, _only(exchange))


async def _only_version(_exchange: Exchange) -> Reply:
    return _VERSION


ROADS = (
    road("POST", "/endpoints/{endpoint}/invocations", _invocations),
    road("GET", "/endpoints/{endpoint}/ping", _ping),
    road("GET", "/endpoints/{endpoint}/health", _ping),
    road("GET", "/endpoints/{endpoint}/version", _version),
    road("POST", "/invocations", _only_invocations),
    road("GET", "/ping", _only_ping),
    road("GET", "/health", _only_ping),
    road("GET", "/version", _only_version),
)
