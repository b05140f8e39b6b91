"""The OpenAPI description of this door: every road of every protocol, with what it takes and answers.

GET /v2/openapi.json

Specification: OpenAPI 3.1.0 (https://spec.openapis.org/oas/v3.1.0).
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import msgspec

from tsavo.rest.exchange import Exchange, Reply, road
from tsavo.rest.openapi_components import HEADERS, PARAMETERS, RESPONSES
from tsavo.rest.openapi_operations import OPERATIONS, TAGS
from tsavo.rest.openapi_schemas import SCHEMAS
from tsavo.rest.openapi_tables import SCHEMAS as TABLES

__all__ = ["ROADS", "description"]

_ABOUT: Final = (
    "Scores on deployed models. Every decision is on disk before its answer. "
    "Every address that takes GET takes HEAD too. Every error is a problem document (RFC 9457)."
)


def description(version: str) -> dict[str, Any]:
    """The whole description, as plain data.

    Parameters
    ----------
    version
        Of Tsavo.
    """
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tsavo gateway",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS | TABLES,
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": {f"Problem{status}": answer for status, answer in RESPONSES.items()},
        },
    }


_DESCRIPTION: Final = Reply(msgspec.json.encode(description(version("tsavo"))))


async def _describe(_exchange: Exchange) -> Reply:
    return _DESCRIPTION


ROADS = (road("GET", "/v2/openapi.json", _describe),)
