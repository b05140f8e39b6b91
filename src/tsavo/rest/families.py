"""Families: a few rows scored by every member in one pass.

GET  /v2/families/{family}              by which column it is divided, and how many members there are
POST /v2/families/{family}/infer_all    ``{"inputs": [...], "segments": [...], "outputs": [...], "limit", "after"}``

The inputs are those of ``/v2/models/{endpoint}/infer`` without the column that chooses the segment.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import orjson

from tsavo.endpoints import FamilyAnswer, MemberAnswer
from tsavo.rest.binary_tensors import LENGTH_HEADER
from tsavo.rest.exchange import Exchange, Reply, road
from tsavo.rest.open_inference import InferRequest, decode_request, json_output
from tsavo.vocabulary import Invalid, decision_id

__all__ = ["ROADS"]

# Members whose part of the answer is written at once, before others get their turn on the event loop.
_AT_ONCE: Final = 64


class _Selection(msgspec.Struct):
    segments: list[str] | None = None
    limit: int | None = None
    after: str = ""


_DECODER: Final = msgspec.json.Decoder(_Selection)


async def _state(exchange: Exchange, family: str) -> Reply:
    return Reply(msgspec.json.encode(exchange.plane.families.state(family)))


async def _infer_all(exchange: Exchange, family: str) -> Reply:
    body = await exchange.body()
    length = exchange.header(LENGTH_HEADER)
    request = decode_request(body, length)
    if request.binary is None or request.binary:
        raise Invalid(
            "the answers of a family come as JSON only",
            field="outputs",
            found="binary_data",
            expected="outputs without binary_data",
        )
    selection = _read_selection(body if length is None else body[: int(length)])

    async def write(answer: FamilyAnswer) -> Reply:
        return await exchange.packed(Reply(await _document(answer, request)))

    return await exchange.recorded(
        lambda keep: exchange.plane.families.infer_all(
            family,
            request.tensors,
            segments=selection.segments,
            wanted=request.wanted,
            after=selection.after,
            limit=selection.limit,
            origin=exchange.origin,
            reply=keep,
        ),
        write,
    )


def _read_selection(document: bytes) -> _Selection:
    try:
        return _DECODER.decode(document)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        raise Invalid(
            f"not a choice of members: {reason}",
            field=path.strip("`$.") or "body",
            expected='"segments": a list of texts, "limit": a whole number, "after": a text; all of them optional',
        ) from error


async def _document(answer: FamilyAnswer, request: InferRequest) -> bytes:
    """The answer as JSON; it may be large, so it is written a piece at a time."""
    about = orjson.dumps(
        {
            "family": answer.endpoint,
            "id": answer.request if request.id is None else request.id,
            "rows": answer.rows,
            "after": answer.after,
        }
    )
    pieces = []
    for start in range(0, len(answer.members), _AT_ONCE):
        some = [
            _member(answer, member, request.wanted) for member in answer.members[start : start + _AT_ONCE]
        ]
        pieces.append(orjson.dumps(some, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1])
        await asyncio.sleep(0)
    return b"".join((about[:-1], b',"members":[', b",".join(pieces), b"]}"))


def _member(answer: FamilyAnswer, member: MemberAnswer, wanted: list[str] | None) -> dict[str, Any]:
    if member.error is not None:
        return {
            "segment": member.segment,
            "version": str(member.version),
            "error": member.error.as_dict(),
        }
    told: dict[str, Any] = {
        "segment": member.segment,
        "version": str(member.version),
        "role": member.role,
        "decision_id": decision_id(answer.request, member.first),
        "flags": member.flags,
    }
    if not answer.recorded:
        del told["decision_id"]
    if member.row_flags:
        told["row_flags"] = {str(row): flags for row, flags in member.row_flags.items()}
    given = zip(member.signature.outputs, member.outputs, strict=True)
    if wanted is None:
        told["outputs"] = [json_output(output, values) for output, values in given]
    else:
        by_name = {output.name: (output, values) for output, values in given}
        told["outputs"] = [json_output(*by_name[name]) for name in wanted if name in by_name]
    return told


ROADS = (
    road("GET", "/v2/families/{family}", _state),
    road("POST", "/v2/families/{family}/infer_all", _infer_all),
)
