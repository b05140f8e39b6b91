"""Everything that changes which version answers: deploy, promote, roll back, pull the plug, put it back.

Each is one transaction (`route_changes`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.fallbacks import chain_after, checked_chain
from tsavo.actions.route_changes import change_route, check_fit, existing, with_challengers
from tsavo.governance import Principal, Right, require
from tsavo.registry import route_history
from tsavo.storage import Connection
from tsavo.vocabulary import (
    Challenger,
    Conflict,
    Fallback,
    Plug,
    Route,
    Split,
    VersionRef,
    check_name,
)

__all__ = ["deploy", "promote", "pull_plug", "release_plug", "roll_back", "shadow"]


def deploy(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    version: VersionRef,
    *,
    fallback: Sequence[Fallback] | None = None,
    why: str = "",
) -> Route:
    """Make `version` the champion of `endpoint`, which is created when there is none.

    Its limits stay, and so do its challengers, except for those that the new champion's callers could not feed.

    Parameters
    ----------
    fallback
        The new fallback chain. Without it the present chain stays, with the earlier champion at its head.

    Raises
    ------
    Refused
        When `version` cannot answer what callers of this endpoint send.
    """
    require(who, Right.DEPLOY)
    check_name(endpoint, "endpoint")

    def change(connection: Connection, old: Route | None) -> Route:
        check_fit(connection, old, version)
        chain = chain_after(old, version) if fallback is None else tuple(fallback)
        checked_chain(connection, version, chain)
        if old is None:
            return Route(endpoint=endpoint, revision=0, champion=version, fallback=chain)
        route = msgspec.structs.replace(old, champion=version, fallback=chain, plug=None)
        return with_challengers(connection, route, old.challengers)

    return change_route(plane, who, endpoint, "endpoint.deploy", why, change)


def shadow(
    plane: ControlPlane, who: Principal, endpoint: str, version: VersionRef, *, why: str = ""
) -> Route:
    """Let `version` score the same requests as the champion, unseen by callers; replaces an earlier shadow.

    A version that had a share of the requests has none any more.
    """
    require(who, Right.DEPLOY)

    def change(connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        if route.champion == version:
            raise Conflict(
                "this version is the champion already",
                field="version",
                found=str(version),
                expected="another version to compare with it",
            )
        check_fit(connection, route, version)
        sharing = [other for other in route.challengers if other.mode == "share" and other.version != version]
        return with_challengers(connection, route, [*sharing, Challenger(version)])

    return change_route(plane, who, endpoint, "endpoint.shadow", why, change)


def promote(
    plane: ControlPlane, who: Principal, endpoint: str, version: VersionRef | None = None, *, why: str = ""
) -> Route:
    """Make a challenger, shadow or with a share, the champion; the earlier champion becomes the first fallback.

    A pulled plug is put back: what was switched off was the champion that now leaves.

    Parameters
    ----------
    version
        Which one; may be left out where there is one only.
    """
    require(who, Right.DEPLOY)

    def change(connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        chosen = _challenger(route, version)
        chain = chain_after(route, chosen)
        checked_chain(connection, chosen, chain)
        promoted = msgspec.structs.replace(route, champion=chosen, fallback=chain, plug=None)
        return with_challengers(connection, promoted, route.challengers)

    return change_route(plane, who, endpoint, "endpoint.promote", why, change)


def _challenger(route: Route, version: VersionRef | None) -> VersionRef:
    running = [challenger.version for challenger in route.challengers]
    if version is None and len(running) > 1:
        raise Conflict(
            "there are several challengers",
            field="version",
            found=[str(ref) for ref in running],
            expected="the one to promote",
            next_step=f"name it: 'tsavo promote {route.endpoint} {running[0]}'",
        )
    chosen = version or (running[0] if running else None)
    if chosen is None or chosen not in running:
        raise Conflict(
            "there is no such challenger to promote",
            field="version",
            found=None if version is None else str(version),
            expected=f"one of {[str(ref) for ref in running]}" if running else "a challenger",
            next_step=f"deploy one with 'tsavo deploy MODEL@N --endpoint {route.endpoint} --shadow'",
        )
    return chosen


def roll_back(plane: ControlPlane, who: Principal, endpoint: str, *, why: str = "") -> Route:
    """Go back to the champion before the present one, with the fallback chain and the shadows it had then.

    Challengers that had a share of the requests then do not get it back: the version that is taken out now may be one
    of them. What the endpoint may take of a gateway, and whether it is a family, stays as it is now.
    """
    require(who, Right.DEPLOY)

    def change(connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        earlier = _earlier_route(connection, route)
        return msgspec.structs.replace(
            route,
            champion=earlier.champion,
            fallback=earlier.fallback,
            challengers=tuple(other for other in earlier.challengers if other.mode == "shadow"),
            split=Split(),
            plug=None,
        )

    return change_route(plane, who, endpoint, "endpoint.rollback", why, change)


def pull_plug(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    *,
    fallback: Sequence[Fallback] | None = None,
    why: str = "",
) -> Route:
    """Switch the champion off: the fallback chain answers from now on, or a refusal when it is empty."""
    require(who, Right.PLUG)

    def change(connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        if fallback is not None:
            checked_chain(connection, route.champion, fallback)
            route = msgspec.structs.replace(route, fallback=tuple(fallback))
        elif route.plug is not None:
            raise Conflict(
                "the plug is pulled already",
                field="endpoint",
                found=endpoint,
                next_step=f"put it back with 'tsavo plug {endpoint} --off'",
            )
        return msgspec.structs.replace(route, plug=Plug(by=who.name, time=plane.clock.now(), why=why))

    return change_route(plane, who, endpoint, "endpoint.plug", why, change)


def release_plug(plane: ControlPlane, who: Principal, endpoint: str, *, why: str = "") -> Route:
    """Let the champion answer again."""
    require(who, Right.PLUG)

    def change(_connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        if route.plug is None:
            raise Conflict("the plug is not pulled", field="endpoint", found=endpoint)
        return msgspec.structs.replace(route, plug=None)

    return change_route(plane, who, endpoint, "endpoint.unplug", why, change)


def _earlier_route(connection: Connection, route: Route) -> Route:
    offset: int | None = 0
    while offset is not None:
        page = route_history(connection, route.endpoint, offset=offset, limit=100)
        for earlier in page.items:
            if earlier.champion != route.champion:
                return earlier
        offset = page.next_offset
    raise Conflict(
        "there is no earlier champion to go back to",
        field="endpoint",
        found=route.endpoint,
        expected="an endpoint whose champion changed at least once",
    )
