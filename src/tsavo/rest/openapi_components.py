"""Parameters, headers and refusals that the roads of this door have in common, as OpenAPI says them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tsavo.rest.openapi_schemas import Schema, of

__all__ = ["HEADERS", "ORIGIN", "PARAMETERS", "RESPONSES", "parameter", "reference"]


def parameter(name: str, place: str, description: str, schema: Schema) -> dict[str, Any]:
    """A parameter in a ``path``, ``query`` or ``header``."""
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": description, "schema": schema} | required


def reference(kind: str, name: str) -> dict[str, str]:
    """What stands for a component elsewhere.

    >>> reference("headers", "Role")
    {'$ref': '#/components/headers/Role'}
    """
    return {"$ref": f"#/components/{kind}/{name}"}


_NAME: Final = {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,99}$"}

PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "Endpoint": parameter("endpoint", "path", "Which endpoint.", _NAME),
    "Family": parameter("family", "path", "Which family.", _NAME),
    "Version": parameter(
        "version",
        "path",
        "The number of a version that the endpoint's route names.",
        {"type": "string", "pattern": "^[0-9]{1,18}$"},
    ),
    "Caller": parameter(
        "X-Tsavo-Caller",
        "header",
        "Who calls; kept with the decision, cut to 100 characters.",
        {"type": "string"},
    ),
    "SplitKey": parameter(
        "X-Tsavo-Key",
        "header",
        "Where a route divides its traffic by key: requests with the same one are answered by the same version.",
        {"type": "string"},
    ),
    "IdempotencyKey": parameter(
        "Idempotency-Key",
        "header",
        "A request that is sent again with its key gets the answer that it was given, and is not decided again.",
        {"type": "string", "pattern": "^[!-~]{1,255}$"},
    ),
    "Encoding": parameter(
        "Content-Encoding",
        "header",
        "How the body is packed.",
        {"type": "string", "enum": ["gzip", "deflate", "identity"]},
    ),
    "JsonLength": parameter(
        "Inference-Header-Content-Length",
        "header",
        "Bytes of the JSON part of the body, where raw tensors follow it.",
        {"type": "integer", "minimum": 1},
    ),
    "Trace": parameter(
        "traceparent", "header", "The trace that the request belongs to (W3C).", {"type": "string"}
    ),
}


def _header(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "schema": schema}


_TEXT: Final[Schema] = {"type": "string"}

HEADERS: Final = {
    "DecisionId": _header("The decision of row 0.", _TEXT),
    "Version": _header("The versions that answered, `model@number`, with commas.", _TEXT),
    "Role": _header("Their parts in the route.", _TEXT),
    "Flags": _header("What else is to be said, percent-encoded, with commas.", _TEXT),
    "RetryAfter": _header("Seconds after which to come again.", {"type": "integer", "minimum": 1}),
    "JsonLength": _header("Bytes of the JSON part of the body.", {"type": "integer", "minimum": 1}),
    "Replayed": _header(
        "That this is the answer given before to this key.", {"type": "string", "enum": ["true"]}
    ),
    "Trace": _header("This request's part of the trace, where it came with one.", _TEXT),
}

ORIGIN: Final = {
    "X-Tsavo-Decision-Id": reference("headers", "DecisionId"),
    "X-Tsavo-Version": reference("headers", "Version"),
    "X-Tsavo-Role": reference("headers", "Role"),
    "X-Tsavo-Flags": reference("headers", "Flags"),
}
"""Headers that tell where an answer came from."""

_RETRY: Final = {"Retry-After": reference("headers", "RetryAfter")}


def _problem(description: str, headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": of("Problem")}}
    return {"description": description, "content": content} | ({"headers": headers} if headers else {})


RESPONSES: Final = {
    "400": _problem("It cannot be read: not JSON, not what its content type or encoding says."),
    "403": _problem("A web page asks that may not use this gateway."),
    "404": _problem("There is no such endpoint, version or address."),
    "405": _problem(
        "This address takes other methods only.", {"Allow": _header("Those that it takes.", _TEXT)}
    ),
    "409": _problem("A request with the same `Idempotency-Key` is still being worked on."),
    "413": _problem("The body is too large, or has too many rows."),
    "422": _problem("It can be read, but a named field is not what was expected; or a rule says no."),
    "429": _problem("Too much at the same time.", _RETRY),
    "500": _problem("A fault of the gateway's own; its log says more."),
    "503": _problem("It cannot answer now: a plug is pulled, or a version cannot be loaded.", _RETRY),
}
"""Status -> the problem that it stands for."""
