"""What an endpoint may take of a gateway: time, requests at once, and a place in memory; and its guard."""

from __future__ import annotations

from typing import Final

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.route_changes import change_route, existing
from tsavo.governance import Principal, Right, require
from tsavo.storage import Connection
from tsavo.vocabulary import Invalid, Limits, Route

__all__ = ["limit"]

_MOST_MILLISECONDS: Final = 600_000
_MOST_CONCURRENT: Final = 100_000


def limit(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    *,
    milliseconds: int | msgspec.UnsetType | None = msgspec.UNSET,
    concurrent: int | msgspec.UnsetType | None = msgspec.UNSET,
    warm: bool | msgspec.UnsetType = msgspec.UNSET,
    guard: bool | msgspec.UnsetType = msgspec.UNSET,
    why: str = "",
) -> Route:
    """Change an endpoint's limits; what is not given stays as it is, ``None`` takes a limit away.

    Parameters
    ----------
    milliseconds
        1 to 600,000: after so long without an answer of a version the fallback chain answers.
    concurrent
        1 to 100,000: so many requests are worked on at the same time in each gateway process.
    warm
        Whether its versions are loaded at the start, and never let go of to make room.
    guard
        Whether the fallback chain answers rows that lack what the champion needs.

    Raises
    ------
    Invalid
        When a limit is out of range, or nothing is given.
    """
    require(who, Right.DEPLOY)
    if all(given is msgspec.UNSET for given in (milliseconds, concurrent, warm, guard)):
        raise Invalid("nothing to change", expected="milliseconds, concurrent, warm or guard")
    _check("milliseconds", milliseconds, _MOST_MILLISECONDS)
    _check("concurrent", concurrent, _MOST_CONCURRENT)

    def change(_connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        before = route.limits
        limits = Limits(
            before.milliseconds if milliseconds is msgspec.UNSET else milliseconds,
            before.concurrent if concurrent is msgspec.UNSET else concurrent,
        )
        return msgspec.structs.replace(
            route,
            limits=limits,
            warm=route.warm if warm is msgspec.UNSET else warm,
            guard=route.guard if guard is msgspec.UNSET else guard,
        )

    return change_route(plane, who, endpoint, "endpoint.limit", why, change)


def _check(name: str, value: int | msgspec.UnsetType | None, most: int) -> None:
    if isinstance(value, int) and not 1 <= value <= most:
        raise Invalid("not a limit", field=name, found=value, expected=f"1 to {most:,}, or none")
