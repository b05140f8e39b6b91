"""How a route is changed: one transaction from the route that was read to the one that takes its place.

The audit entry goes with it, and nothing is changed when any check on the way says no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.segments import check_members
from tsavo.governance import Principal, audit
from tsavo.registry import find_route, get_version, save_route
from tsavo.storage import Connection
from tsavo.vocabulary import Challenger, NotFound, Refused, Route, Split, VersionRef, misfits

__all__ = ["change_route", "check_fit", "existing", "with_challengers"]


def change_route(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    action: str,
    why: str,
    change: Callable[[Connection, Route | None], Route],
) -> Route:
    """Put in the place of an endpoint's route what `change` makes of it, under the name `action` in the audit trail.

    A fire drill says something about one chain, so it ends when the champion or the chain becomes another.
    """
    with plane.database.begin() as connection:
        old = find_route(connection, endpoint)
        now = plane.clock.now()
        new = change(connection, old)
        if old is not None and (old.champion, old.fallback) != (new.champion, new.fallback):
            new = msgspec.structs.replace(new, drill=None)
        if old is not None and old.segments is not None and old.champion != new.champion:
            check_members(connection, endpoint, new.champion)
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


def existing(route: Route | None, endpoint: str) -> Route:
    """The route; raise `NotFound` when there is none."""
    if route is None:
        raise NotFound(
            "there is no such endpoint",
            field="endpoint",
            found=endpoint,
            next_step="see 'tsavo ls' for what there is",
        )
    return route


def check_fit(connection: Connection, route: Route | None, version: VersionRef) -> None:
    """Raise `Refused` unless `version` can answer what callers of the route's champion send."""
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


def with_challengers(connection: Connection, route: Route, challengers: Iterable[Challenger]) -> Route:
    """The route with these challengers, but for its champion and those that do not fit its champion any more.

    Where no challenger has a share any more, how traffic was divided is forgotten, and so is the seed.

    Raises
    ------
    Refused
        When traffic is divided by a column that the champion does not take.
    """
    challengers = tuple(challengers)
    if not challengers:
        return msgspec.structs.replace(route, challengers=(), split=Split())
    signature = get_version(connection, route.champion).signature
    kept = tuple(
        challenger
        for challenger in challengers
        if challenger.version != route.champion
        and not misfits(signature, get_version(connection, challenger.version).signature)
    )
    if not any(challenger.mode == "share" for challenger in kept):
        return msgspec.structs.replace(route, challengers=kept, split=Split())
    kind, _, column = route.split.by.partition(":")
    if kind == "column" and all(field.name != column for field in signature.inputs):
        raise Refused(
            f"traffic of '{route.endpoint}' is divided by a column that {route.champion} does not take",
            field="by",
            found=column,
            expected=f"one of {[field.name for field in signature.inputs]}",
            next_step="take the challengers out first: 'tsavo deploy MODEL@N --endpoint "
            f"{route.endpoint} --share 0'",
        )
    return msgspec.structs.replace(route, challengers=kept)


def _as_json(route: Route | None) -> Any:
    return None if route is None else msgspec.to_builtins(route)
