"""What the model repository extension tells of: every endpoint's versions, and how they are doing.

It tells what is known in this process and loads nothing, so that ten thousand endpoints can be listed while others
are served.

Specification: "Model Repository Extension" of the KServe community's inference protocol
(https://github.com/triton-inference-server/server/tree/main/docs/protocol), the index only: what is loaded is for
the routes to say, which the control plane keeps.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal, TypeAlias

import msgspec

from tsavo.endpoints.serving import DataPlane
from tsavo.vocabulary import Refused, Route, VersionRef

__all__ = [
    "IndexEntry",
    "IndexState",
    "load_refusal",
    "repository_index",
    "unload_refusal",
    "version_numbers",
]

IndexState: TypeAlias = Literal["READY", "LOADING", "UNAVAILABLE"]
# So many endpoints are looked at before others get their turn on the event loop: well below a millisecond.
_AT_ONCE: Final = 200


class IndexEntry(msgspec.Struct, frozen=True):
    """One version of one endpoint; `reason` says why it is not ready, or that the next request loads it."""

    name: str
    version: str
    state: IndexState
    reason: str = ""


def version_numbers(route: Route) -> list[int]:
    """The numbers by which callers can address versions of the route: the champion's, then the others in order.

    >>> from tsavo.vocabulary import Challenger, VersionRef
    >>> version_numbers(Route("e", 1, VersionRef("m", 3), (Challenger(VersionRef("m", 4)),)))
    [3, 4]
    """
    champion = route.champion.number
    others = {ref.number for ref in route.versions()} - {champion}
    return [champion, *sorted(others)]


async def repository_index(plane: DataPlane, *, ready: bool = False) -> list[IndexEntry]:
    """Every version that a route names, by endpoint and with the champion first; with `ready` those that can answer.

    A version that is not in memory is ready: the next request for it loads it.
    """
    entries: list[IndexEntry] = []
    for looked_at, route in enumerate(sorted(plane.routes(), key=lambda route: route.endpoint)):
        if looked_at % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        for number in version_numbers(route):
            ref = route.numbered(number)
            if ref is not None:
                entry = _entry(plane, route, ref)
                if not ready or entry.state == "READY":
                    entries.append(entry)
    return entries


def _entry(plane: DataPlane, route: Route, ref: VersionRef) -> IndexEntry:
    state: IndexState = "READY"
    known = plane.state(ref)
    reason = known.reason
    if route.plug is not None and ref == route.champion:
        state, reason = "UNAVAILABLE", f"the plug is pulled: {route.plug.why}".removesuffix(": ")
    elif known.name == "loading":
        state = "LOADING"
    elif known.name in {"backing-off", "failed"}:
        state = "UNAVAILABLE"
    elif known.name == "idle":
        reason = reason or "the next request loads it"
    return IndexEntry(route.endpoint, str(ref.number), state, reason)


def load_refusal(route: Route) -> Refused:
    """Why a caller cannot load an endpoint, and what to do instead."""
    return Refused(
        "versions are loaded by the first request for them, and which serve is for the control plane to say",
        field="load",
        found=route.endpoint,
        next_step=f"put a version on it with 'tsavo deploy {route.champion.model} --endpoint {route.endpoint}'",
    )


def unload_refusal(route: Route) -> Refused:
    """Why a caller cannot unload an endpoint, and what to do instead."""
    model, endpoint = route.champion.model, route.endpoint
    return Refused(
        "versions are let go of when others need the room, and which serve is for the control plane to say",
        field="unload",
        found=endpoint,
        next_step=f"deploy another version with 'tsavo deploy {model}@V --endpoint {endpoint}', "
        f"or switch it off with 'tsavo plug {endpoint}'",
    )
