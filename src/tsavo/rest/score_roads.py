"""Tables of rows, as JSON for people and as Arrow for programs.

POST /endpoints/{endpoint}/score    ``{"rows": [...]}``, CSV, or an Arrow IPC stream; answers as the request came, or as
                                    ``Accept`` says
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

from tsavo.endpoints import Answer, InputTensor
from tsavo.rest.exchange import Exchange, Reply, road
from tsavo.rest.plain_rows import decode_rows, encode_rows
from tsavo.rest.scoring_answers import aside, headers_of, size_of
from tsavo.rest.scoring_tables import from_csv, media_type
from tsavo.vocabulary import Signature

__all__ = ["ARROW", "ROADS", "answers_in_arrow"]

ARROW: Final = "application/vnd.apache.arrow.stream"


def answers_in_arrow(accept: bytes | None, came_in_arrow: bool) -> bool:
    """Whether Arrow is the answer, by the ``Accept`` header (RFC 9110, section 12.5.1); else it is JSON.

    The more wanted of the two; what the request itself is in, when the header does not prefer one.

    >>> answers_in_arrow(b"application/vnd.apache.arrow.stream, application/json;q=0.5", False)
    True
    >>> answers_in_arrow(b"*/*", True)
    True
    """
    weights = {ARROW: 0.0, "application/json": 0.0}
    for part in (accept or b"*/*").decode("latin-1").lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        if name in weights:
            weights[name] = _weight(parameters)
    arrow, rows = weights[ARROW], weights["application/json"]
    return came_in_arrow if arrow == rows else arrow > rows


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


_loaded: list[ModuleType] = []


async def _arrow() -> Any:
    """Arrow, loaded when the first table comes: that takes a tenth of a second and thirty megabytes."""
    if not _loaded:
        _loaded.append(await asyncio.to_thread(importlib.import_module, "tsavo.rest.arrow_tables"))
    return _loaded[0]


async def _score(exchange: Exchange, endpoint: str) -> Reply:
    body = await exchange.body()
    champion = await exchange.plane.champion(endpoint)
    spoken = exchange.plane.described(endpoint, champion).signature
    kind = media_type(exchange.header(b"content-type"))
    in_arrow = answers_in_arrow(exchange.header(b"accept"), kind == ARROW)
    tensors, wanted = await _read(kind, body, spoken, champion.reader.max_rows)

    async def write(answer: Answer) -> Reply:
        size = size_of(answer)
        if in_arrow:
            arrow = await _arrow()
            written = await aside(size, arrow.encode_table, answer, wanted)
            return Reply(written, content_type=ARROW.encode(), headers=headers_of(answer))
        return Reply(await aside(size, encode_rows, answer, wanted), headers=headers_of(answer))

    return await exchange.infer(endpoint, tensors, write, wanted=wanted)


async def _read(
    kind: str, body: bytes, spoken: Signature, max_rows: int
) -> tuple[list[InputTensor], list[str] | None]:
    if kind == ARROW:
        arrow = await _arrow()
        tensors = await aside(len(body), arrow.decode_table, body, spoken, max_rows=max_rows)
        return tensors, None
    if kind == "text/csv":
        return await aside(len(body), from_csv, body, spoken), None
    # JSON, whatever the request calls it: curl calls everything a form.
    return await aside(len(body), decode_rows, body, spoken)


ROADS = (road("POST", "/endpoints/{endpoint}/score", _score),)
