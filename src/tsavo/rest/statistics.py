"""Figures of the data plane: for a metrics collector, and as Triton's clients ask for them.

GET /metrics                                          OpenMetrics, or Prometheus' text format
GET /v2/models/stats                                  all endpoints, in pages
GET /v2/models/{endpoint}/stats                       one endpoint, by version
GET /v2/models/{endpoint}/versions/{version}/stats    one version of it

Specification: "Statistics Extension" of Triton's inference protocol
(https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from tsavo.endpoints.figures import Counted, Figures
from tsavo.endpoints.repository import version_numbers
from tsavo.rest.exchange import Exchange, Reply, road
from tsavo.rest.metrics import exposition
from tsavo.vocabulary import Invalid, NotFound

__all__ = ["ROADS"]

_USUAL_ENDPOINTS: Final = 100
_MOST_ENDPOINTS: Final = 1_000
_MILLISECOND: Final = 1_000_000


async def _metrics(exchange: Exchange) -> Reply:
    asked = _query(exchange, "endpoints", "endpoint")
    plane = exchange.plane
    one = asked.get("endpoint")
    if one is not None:
        plane.route(one)
    most = _number(asked, "endpoints", _USUAL_ENDPOINTS)
    figures = await plane.statistics.figures()
    accept = exchange.header(b"accept")

    def write() -> tuple[bytes, str]:
        chosen = figures.busiest(most) if one is None else [one]
        return exposition(
            figures, chosen, plane.endpoints, None if accept is None else accept.decode("latin-1")
        )

    body, content_type = await asyncio.get_running_loop().run_in_executor(plane.statistics.threads, write)
    return Reply(body, content_type=content_type.encode())


async def _all(exchange: Exchange) -> Reply:
    asked = _query(exchange, "limit", "after")
    limit = _number(asked, "limit", _USUAL_ENDPOINTS)
    names = exchange.plane.names(after=asked.get("after", ""), limit=limit)
    figures = await exchange.plane.statistics.figures()
    entries = [entry for name in names for entry in _entries(exchange, figures, name)]
    # Where to go on; nothing when this was the last page.
    further = {"next": names[-1]} if limit and len(names) == limit else {}
    return Reply(msgspec.json.encode({"model_stats": entries} | further))


async def _one(exchange: Exchange, endpoint: str, version: str | None = None) -> Reply:
    exchange.plane.route(endpoint)
    entries = _entries(exchange, await exchange.plane.statistics.figures(), endpoint)
    if version is not None:
        numbers = [entry["version"] for entry in entries]
        entries = [entry for entry in entries if entry["version"] == version]
        if not entries:
            raise NotFound(
                f"endpoint '{endpoint}' has no such version, or it has not answered for long",
                field="version",
                found=version,
                expected=f"one of {', '.join(numbers)}",
            )
    return Reply(msgspec.json.encode({"model_stats": entries}))


def _entries(exchange: Exchange, figures: Figures, endpoint: str) -> list[dict[str, Any]]:
    """One for each version that the route names or that answered, the champion's first."""
    counted = figures.versions(endpoint)
    numbers = dict.fromkeys([*version_numbers(exchange.plane.route(endpoint)), *counted])
    return [_entry(endpoint, number, counted.get(number) or Counted.none()) for number in numbers]


def _entry(endpoint: str, number: int, counted: Counted) -> dict[str, Any]:
    output_ns = counted.total_ns - counted.input_ns - counted.infer_ns
    answered = counted.answered
    return {
        "name": endpoint,
        "version": str(number),
        "last_inference": counted.last_ns // _MILLISECOND,
        "inference_count": counted.rows,
        "execution_count": answered,
        "inference_stats": {
            "success": {"count": answered, "ns": counted.total_ns},
            "fail": {"count": counted.failed_requests, "ns": counted.failed_ns},
            # A request is scored by itself and at once: there is no queue of requests to put together.
            "queue": {"count": answered, "ns": 0},
            "compute_input": {"count": answered, "ns": counted.input_ns},
            "compute_infer": {"count": answered, "ns": counted.infer_ns},
            "compute_output": {"count": answered, "ns": max(0, output_ns)},
        },
        "batch_stats": [],
    }


def _query(exchange: Exchange, *known: str) -> dict[str, str]:
    text = exchange.scope.get("query_string", b"").decode("latin-1")
    asked = dict(parse_qsl(text, keep_blank_values=True))
    for name, value in asked.items():
        if name not in known:
            raise Invalid(
                "there is no such parameter",
                field=name,
                expected=f"one of {', '.join(known)}",
                found=value,
            )
    return asked


def _number(asked: dict[str, str], name: str, usual: int) -> int:
    text = asked.get(name)
    if text is None:
        return usual
    if not text.isascii() or not text.isdigit() or len(text) > 4 or int(text) > _MOST_ENDPOINTS:
        raise Invalid("not a number of endpoints", field=name, found=text, expected=f"0 to {_MOST_ENDPOINTS}")
    return int(text)


ROADS = (
    road("GET", "/metrics", _metrics),
    road("GET", "/v2/models/stats", _all),
    road("GET", "/v2/models/{endpoint}/stats", _one),
    road("GET", "/v2/models/{endpoint}/versions/{version}/stats", _one),
)
