"""Everything that changes what an endpoint answers: deploy, promote, roll back, pull the plug, put it back.

Each is one transaction: the route that was read is the route that is replaced, and the audit entry goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.fallbacks import chain_after, checked_chain
from tsavo.governance import Principal, Right, audit, require
from tsavo.registry import find_route, get_version, route_history, save_route
from tsavo.storage import Connection
from tsavo.vocabulary import (
    Challenger,
    Conflict,
    Fallback,
    NotFound,
    Plug,
    Refused,
    Route,
    VersionRef,
    check_name,
    misfits,
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
        _check_fit(connection, old, version)
        chain = chain_after(old, version) if fallback is None else tuple(fallback)
        checked_chain(connection, version, chain)
        if old is None:
            return Route(endpoint=endpoint, revision=0, champion=version, fallback=chain)
        others = tuple(challenger for challenger in old.challengers if challenger.version != version)
        return msgspec.structs.replace(old, champion=version, fallback=chain, challengers=others, plug=None)

    return _change(plane, who, endpoint, "endpoint.deploy", why, change)


def shadow(
    plane: ControlPlane, who: Principal, endpoint: str, version: VersionRef, *, why: str = ""
) -> Route:
    """Let `version` score the same requests as the champion, unseen by callers; replaces an earlier shadow."""
    require(who, Right.DEPLOY)

    def change(connection: Connection, old: Route | None) -> Route:
        route = _existing(old, endpoint)
        if route.champion == version:
            raise Conflict(
                "this version is the champion already",
                field="version",
                found=str(version),
                expected="another version to compare with it",
            )
        _check_fit(connection, route, version)
        return msgspec.structs.replace(route, challengers=(Challenger(version),))

    return _change(plane, who, endpoint, "endpoint.shadow", why, change)


def promote(
    plane: ControlPlane, who: Principal, endpoint: str, version: VersionRef | None = None, *, why: str = ""
) -> Route:
    """Make the shadow challenger the champion; the earlier champion becomes the first fallback.

    A pulled plug is put back: what was switched off was the champion that now leaves.
    """
    require(who, Right.DEPLOY)

    def change(connection: Connection, old: Route | None) -> Route:
        route = _existing(old, endpoint)
        running = [challenger.version for challenger in route.challengers]
        chosen = version or (running[0] if running else None)
        if chosen is None or chosen not in running:
            raise Conflict(
                "there is no such challenger to promote",
                field="version",
                found=None if version is None else str(version),
                expected=f"one of {[str(ref) for ref in running]}" if running else "a shadow challenger",
                next_step=f"deploy one with 'tsavo deploy MODEL@N --endpoint {endpoint} --shadow'",
            )
        return msgspec.structs.replace(
            route,
            champion=chosen,
            challengers=tuple(other for other in route.challengers if other.version != chosen),
            fallback=chain_after(route, chosen),
            plug=None,
        )

    return _change(plane, who, endpoint, "endpoint.promote", why, change)


def roll_back(plane: ControlPlane, who: Principal, endpoint: str, *, why: str = "") -> Route:
    """Go back to the champion before the present one, with the route it had then."""
    require(who, Right.DEPLOY)

    def change(connection: Connection, old: Route | None) -> Route:
        route = _existing(old, endpoint)
        earlier = _earlier_route(connection, route)
        return msgspec.structs.replace(earlier, revision=route.revision, plug=None)

    return _change(plane, who, endpoint, "endpoint.rollback", why, change)


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
        route = _existing(old, endpoint)
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

    return _change(plane, who, endpoint, "endpoint.plug", why, change)


def release_plug(plane: ControlPlane, who: Principal, endpoint: str, *, why: str = "") -> Route:
    """Let the champion answer again."""
    require(who, Right.PLUG)

    def change(_connection: Connection, old: Route | None) -> Route:
        route = _existing(old, endpoint)
        if route.plug is None:
            raise Conflict("the plug is not pulled", field="endpoint", found=endpoint)
        return msgspec.structs.replace(route, plug=None)

    return _change(plane, who, endpoint, "endpoint.unplug", why, change)


def _change(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    action: str,
    why: str,
    change: Callable[[Connection, Route | None], Route],
) -> Route:
    with plane.database.begin() as connection:
        old = find_route(connection, endpoint)
        now = plane.clock.now()
        new = change(connection, old)
        route = save_route(
            connection, msgspec.structs.replace(new, changed=now, changed_by=who.name, why=why)
        )
        audit(
            connection,
            time=now,
            who=who.name,
            action=action,
            subject=f"endpoint:{endpoint}",
            why=why,
            before=_as_json(old),
            after=_as_json(route),
        )
    return route


def _as_json(route: Route | None) -> Any:
    return None if route is None else msgspec.to_builtins(route)


def _existing(route: Route | None, endpoint: str) -> Route:
    if route is None:
        raise NotFound(
            "there is no such endpoint",
            field="endpoint",
            found=endpoint,
            next_step="see 'tsavo ls' for what there is",
        )
    return route


def _check_fit(connection: Connection, route: Route | None, version: VersionRef) -> None:
    new = get_version(connection, version)
    if route is None or route.champion == version:
        return
    reasons = misfits(get_version(connection, route.champion).signature, new.signature)
    if reasons:
        raise Refused(
            f"{version} cannot answer what callers of '{route.endpoint}' send: {'; '.join(reasons[:5])}",
            field="version",
            found=str(version),
            expected=f"the signature of {route.champion}",
            next_step="deploy it under a name of its own with --endpoint NAME",
            details=reasons,
        )


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
