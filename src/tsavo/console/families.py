"""What pages and the API show of families."""

from __future__ import annotations

import msgspec

from tsavo.console.examples import curl_example
from tsavo.console.parts import ConsoleParts
from tsavo.registry import count_members, get_route, get_version, list_members
from tsavo.vocabulary import Field, Member, Page, Refused, Route, Segments, Signature

__all__ = ["FamilyView", "asked_signature", "everybody_example", "family_members", "family_view"]


class FamilyView(msgspec.Struct, frozen=True):
    """A family: its column, its parent's route, how many members it has, and where they are all asked."""

    segments: Segments
    route: Route
    members: int
    url: str


def family_view(parts: ConsoleParts, endpoint: str) -> FamilyView:
    """One family; raise `NotFound` when there is no such endpoint, `Refused` when it is none."""
    with parts.plane.database.read() as connection:
        route = get_route(connection, endpoint)
        if route.segments is None:
            raise _no_family(endpoint)
        members = count_members(connection, endpoint)
    return FamilyView(route.segments, route, members, f"{parts.gateway_url}/v2/families/{endpoint}/infer_all")


def family_members(
    parts: ConsoleParts, endpoint: str, *, search: str, offset: int, limit: int
) -> Page[Member]:
    """A page of a family's members; raises as `family_view`."""
    with parts.plane.database.read() as connection:
        if get_route(connection, endpoint).segments is None:
            raise _no_family(endpoint)
        return list_members(connection, endpoint, search=search, offset=offset, limit=limit)


def everybody_example(parts: ConsoleParts, view: FamilyView) -> str:
    """A request of one row to all members, that can be pasted into a terminal."""
    with parts.plane.database.read() as connection:
        signature = get_version(connection, view.route.champion).signature
    inputs = tuple(field for field in signature.inputs if field.name != view.segments.key)
    return curl_example(view.url, msgspec.structs.replace(signature, inputs=inputs))


def asked_signature(route: Route, signature: Signature, members: Page[Member] | None) -> Signature:
    """What callers of an endpoint send: a family's key, too, where the champion does not take it.

    Its categories are the segments of `members`, for an example.
    """
    segments = route.segments
    if segments is None or any(field.name == segments.key for field in signature.inputs):
        return signature
    known = tuple(member.segment for member in members.items) if members is not None else ()
    first = float(known[0]) if segments.dtype == "int64" and known else None
    key = Field(segments.key, segments.dtype, categories=known or None, low=first, high=first)
    return msgspec.structs.replace(signature, inputs=(*signature.inputs, key))


def _no_family(endpoint: str) -> Refused:
    return Refused(
        "this endpoint is no family",
        field="endpoint",
        found=endpoint,
        expected="an endpoint with a column that chooses among versions",
        next_step=f"make it one with 'tsavo family make {endpoint} --key COLUMN'",
    )
