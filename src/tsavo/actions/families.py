"""Families: an endpoint with a version for each value of a column, changed one segment or thousands at a time.

Each is one transaction, all or nothing, with its audit entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.route_changes import change_route, existing
from tsavo.actions.segments import check_fit, check_segment, key_dtype
from tsavo.governance import Principal, Right, audit, require
from tsavo.registry import (
    count_members,
    find_members,
    get_member,
    get_route,
    get_version,
    save_members,
)
from tsavo.storage import Connection
from tsavo.vocabulary import (
    Conflict,
    Invalid,
    Member,
    NotFound,
    Plug,
    Refused,
    Route,
    Segments,
    TooLarge,
    VersionRef,
)

__all__ = ["MOST_AT_ONCE", "make_family", "plug_member", "remove_members", "set_members", "unplug_member"]

MOST_AT_ONCE = 50_000
"""Segments that one change may name."""


def make_family(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    key: str,
    *,
    dtype: Literal["string", "int64"] | None = None,
    unseen: Literal["parent", "refuse"] = "parent",
    why: str = "",
) -> Route:
    """Make an endpoint a family: its champion becomes the parent of versions that `key` chooses among.

    Parameters
    ----------
    key
        The column that chooses: an input of the champion, or one that callers will send beside the inputs.
    dtype
        Of that column; by default the champion's input's own, and ``string`` beside the inputs.
    unseen
        Whether the parent answers for segments without a version, or they are refused.

    Raises
    ------
    Conflict
        When it is a family by another key already, and has members.
    Invalid
        When the champion's input of this name is neither text nor a whole number.
    Refused
        When the column is personal.
    """
    require(who, Right.DEPLOY)

    def change(connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        if route.privacy is not None and key in route.privacy.columns:
            raise Refused(
                "the column is personal, and segments are recorded as they are",
                field="key",
                found=key,
                next_step=f"choose another column, or see 'tsavo personal {endpoint}'",
            )
        signature = get_version(connection, route.champion).signature
        segments = Segments(key, key_dtype(signature, key, dtype), unseen)
        before = route.segments
        if before is not None and (before.key, before.dtype) != (key, segments.dtype):
            _check_no_members(connection, endpoint, before)
        return msgspec.structs.replace(route, segments=segments)

    return change_route(plane, who, endpoint, "family.make", why, change)


def set_members(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    versions: Mapping[str, VersionRef],
    *,
    why: str = "",
) -> list[Member]:
    """Let each segment be answered by its version; return the members that this changed.

    A segment that has this version already stays as it is, also with its plug pulled. With another version its plug
    is put back: what was switched off has left.

    Parameters
    ----------
    versions
        Segment -> version, at most 50,000 of them.

    Raises
    ------
    Invalid, NotFound, Refused
        Naming the segment, when it cannot be one, there is no such version, or the version cannot answer what callers
        of the parent send. Nothing is changed then.
    """
    require(who, Right.DEPLOY)
    _check_number(versions)
    with plane.database.begin() as connection:
        route, segments = _family(connection, endpoint)
        for segment in versions:
            check_segment(segments, segment)
        check_fit(connection, route.champion, versions)
        present = find_members(connection, endpoint, list(versions))
        changes = [
            _changed(present.get(segment), endpoint, segment, version)
            for segment, version in versions.items()
            if segment not in present or present[segment].version != version
        ]
        return _save(plane, who, connection, route, "family.set", changes, present, why)


def remove_members(
    plane: ControlPlane, who: Principal, endpoint: str, segments: Sequence[str], *, why: str = ""
) -> list[Member]:
    """Take segments out of a family: what is done with unseen ones is done with them from now on.

    Raises
    ------
    NotFound
        Naming the first segment that has no version; nothing is changed then.
    """
    require(who, Right.DEPLOY)
    _check_number(segments)
    with plane.database.begin() as connection:
        route, _ = _family(connection, endpoint)
        wanted = list(dict.fromkeys(segments))
        present = find_members(connection, endpoint, wanted)
        for segment in wanted:
            if segment not in present or present[segment].version is None:
                raise _no_member(endpoint, segment)
        changes = [_changed(present[segment], endpoint, segment, None) for segment in wanted]
        return _save(plane, who, connection, route, "family.remove", changes, present, why)


def plug_member(plane: ControlPlane, who: Principal, endpoint: str, segment: str, *, why: str = "") -> Member:
    """Switch the version of one segment off; the parent answers for it from now on."""
    require(who, Right.PLUG)
    with plane.database.begin() as connection:
        route, _ = _family(connection, endpoint)
        old = get_member(connection, endpoint, segment)
        if old.plug is not None:
            raise Conflict(
                "the plug of this segment is pulled already",
                field="segment",
                found=segment,
                next_step=f"put it back with 'tsavo family plug {endpoint} {segment} --off'",
            )
        new = msgspec.structs.replace(old, plug=Plug(who.name, plane.clock.now(), why))
        return _save(plane, who, connection, route, "family.plug", [new], {segment: old}, why)[0]


def unplug_member(
    plane: ControlPlane, who: Principal, endpoint: str, segment: str, *, why: str = ""
) -> Member:
    """Let the version of one segment answer again."""
    require(who, Right.PLUG)
    with plane.database.begin() as connection:
        route, _ = _family(connection, endpoint)
        old = get_member(connection, endpoint, segment)
        if old.plug is None:
            raise Conflict("the plug of this segment is not pulled", field="segment", found=segment)
        new = msgspec.structs.replace(old, plug=None)
        return _save(plane, who, connection, route, "family.unplug", [new], {segment: old}, why)[0]


def _save(
    plane: ControlPlane,
    who: Principal,
    connection: Connection,
    route: Route,
    action: str,
    changes: Sequence[Member],
    before: Mapping[str, Member],
    why: str,
) -> list[Member]:
    if not changes:
        return []
    now = plane.clock.now()
    signed = [
        msgspec.structs.replace(change, changed=now, changed_by=who.name, why=why) for change in changes
    ]
    saved = save_members(connection, route.endpoint, signed)
    old = [before[change.segment] for change in changes if change.segment in before]
    audit(
        connection,
        time=now,
        who=who.name,
        action=action,
        subject=f"endpoint:{route.endpoint}",
        why=why,
        before=_as_json(old),
        after=_as_json(saved),
    )
    return saved


def _as_json(members: Iterable[Member]) -> dict[str, object]:
    """The members by segment, for the audit trail; without what the entry itself says."""
    told: dict[str, object] = {}
    for member in members:
        version = None if member.version is None else str(member.version)
        told[member.segment] = (
            version if member.plug is None else {"version": version, "plug": msgspec.to_builtins(member.plug)}
        )
    return {"members": told}


def _changed(old: Member | None, endpoint: str, segment: str, version: VersionRef | None) -> Member:
    if old is None:
        return Member(endpoint, segment, version, 0)
    return msgspec.structs.replace(old, version=version, plug=None)


def _family(connection: Connection, endpoint: str) -> tuple[Route, Segments]:
    route = get_route(connection, endpoint)
    if route.segments is None:
        raise Refused(
            "this endpoint is no family",
            field="endpoint",
            found=endpoint,
            expected="an endpoint with a column that chooses among versions",
            next_step=f"make it one with 'tsavo family make {endpoint} --key COLUMN'",
        )
    return route, route.segments


def _check_number(segments: Mapping[str, VersionRef] | Sequence[str]) -> None:
    if not segments:
        raise Invalid("no segment is named", field="segments", expected="at least one")
    if len(segments) > MOST_AT_ONCE:
        raise TooLarge(
            "too many segments in one change",
            field="segments",
            found=len(segments),
            expected=f"at most {MOST_AT_ONCE:,}",
            next_step="send them in several changes",
        )


def _check_no_members(connection: Connection, endpoint: str, segments: Segments) -> None:
    members = count_members(connection, endpoint)
    if members:
        raise Conflict(
            f"this family has {members:,} members by '{segments.key}'",
            field="key",
            found=endpoint,
            expected="a family without members, or the same key and type",
            next_step="make another endpoint a family, or take the members out with 'tsavo family remove'",
        )


def _no_member(endpoint: str, segment: str) -> NotFound:
    return NotFound(
        f"family '{endpoint}' has no version for this segment",
        field=f"segments.{segment}",
        found=segment,
        next_step=f"see 'tsavo family ls {endpoint}' for what there is; nothing was changed",
    )
