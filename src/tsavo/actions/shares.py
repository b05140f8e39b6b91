"""Dividing traffic: a challenger that answers a share of the requests itself."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.route_changes import change_route, check_fit, existing, with_challengers
from tsavo.governance import Principal, Right, require
from tsavo.registry import get_version
from tsavo.storage import Connection
from tsavo.vocabulary import Challenger, Conflict, Invalid, Route, Signature, Split, VersionRef

__all__ = ["share"]

_WAYS: Final = ("request", "key", "caller")
_COLUMN: Final = "column:"
# As many bits as every JSON reader keeps.
_SEED_BITS: Final = 53
# Shares that fill up the whole but for rounding leave nothing.
_LEAST_REST: Final = 1e-9


def _draw() -> int:
    return secrets.randbits(_SEED_BITS)


def share(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    version: VersionRef,
    part: float,
    *,
    by: str | None = None,
    why: str = "",
    draw: Callable[[], int] = _draw,
) -> Route:
    """Let `version` answer a share of the endpoint's requests; the champion answers the rest.

    Parameters
    ----------
    part
        From 0 to below 1, of all requests; 0 takes the challenger out again.
    by
        ``request``, ``key``, ``caller`` or ``column:NAME``: see `vocabulary.Split`. By default as it was, and
        ``request`` for the first share.
    draw
        Source of the seed. It is drawn for the first share, and kept while there is one.

    Raises
    ------
    Invalid
        When the shares together leave nothing to the champion, or there is no such column.
    Conflict
        When the version is the champion, has no share to take out, or the endpoint is a family.
    Refused
        When the version cannot answer what callers send.
    """
    require(who, Right.DEPLOY)
    _check_part(part)

    def change(connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        if part == 0:
            return _without(connection, route, version)
        _check_champion(route, version)
        check_fit(connection, route, version)
        split = _split(route, get_version(connection, route.champion).signature, by, draw)
        challengers = _with(route, Challenger(version, "share", part))
        _check_rest(challengers)
        return with_challengers(connection, msgspec.structs.replace(route, split=split), challengers)

    return change_route(plane, who, endpoint, "endpoint.share", why, change)


def _check_part(part: float) -> None:
    if not (math.isfinite(part) and 0 <= part < 1):
        raise Invalid(
            "not a share of the requests",
            field="share",
            found=part,
            expected="from 0 to below 1, such as 0.1",
            next_step="to give it all requests, make it the champion: deploy it without a share",
        )


def _check_champion(route: Route, version: VersionRef) -> None:
    if route.segments is not None:
        raise Conflict(
            f"'{route.endpoint}' is a family: its traffic is divided by '{route.segments.key}'",
            field="endpoint",
            found=route.endpoint,
            expected="an endpoint that is no family",
            next_step="let the version look over its shoulder instead: --shadow",
        )
    if route.champion == version:
        raise Conflict(
            "this version is the champion already",
            field="version",
            found=str(version),
            expected="another version: the champion answers what the others leave",
        )


def _without(connection: Connection, route: Route, version: VersionRef) -> Route:
    rest = [one for one in route.challengers if (one.version, one.mode) != (version, "share")]
    if len(rest) == len(route.challengers):
        sharing = [str(one.version) for one in route.challengers if one.mode == "share"]
        raise Conflict(
            "this version has no share of the requests",
            field="version",
            found=str(version),
            expected=f"one of {sharing}" if sharing else "a version that has one",
        )
    return with_challengers(connection, route, rest)


def _with(route: Route, new: Challenger) -> list[Challenger]:
    # In its place, because the place decides which keys a challenger has.
    listed = list(route.challengers)
    at = next((place for place, one in enumerate(listed) if one.version == new.version), None)
    if at is None or listed[at].mode != "share":
        return [*(one for one in listed if one.version != new.version), new]
    listed[at] = new
    return listed


def _split(route: Route, signature: Signature, by: str | None, draw: Callable[[], int]) -> Split:
    divided = any(challenger.mode == "share" for challenger in route.challengers)
    if by is not None:
        _check_way(by, signature)
    if divided:
        return route.split if by is None else Split(by, route.split.seed)
    return Split("request" if by is None else by, draw())


def _check_way(by: str, signature: Signature) -> None:
    if by in _WAYS:
        return
    if not by.startswith(_COLUMN):
        raise Invalid(
            "not a way to divide requests",
            field="by",
            found=by,
            expected="request, key, caller, or column:NAME",
        )
    names = [field.name for field in signature.inputs]
    if by.removeprefix(_COLUMN) not in names:
        raise Invalid(
            "there is no such column to divide by",
            field="by",
            found=by.removeprefix(_COLUMN),
            expected=f"one of {names}",
        )


def _check_rest(challengers: list[Challenger]) -> None:
    total = math.fsum(challenger.share for challenger in challengers)
    if total > 1 - _LEAST_REST:
        given = ", ".join(
            f"{challenger.version} {challenger.share:g}" for challenger in challengers if challenger.share
        )
        raise Invalid(
            "the shares together leave nothing to the champion",
            field="share",
            found=given,
            expected="less than 1 together",
            next_step="make one of them smaller first, or take it out with --share 0",
        )
