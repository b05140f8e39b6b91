"""Members of families: which version answers for which segment.

A family may have ten thousand members, so they are kept beside its route, one row each. They take their
revisions from the same counter as routes, one revision for each member, so that a gateway asks for what is newer
in both and a page of changes never cuts a revision in two. A member that was taken out stays as a row without a
version: how else would a gateway hear of it?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from tsavo.registry.endpoints import next_revision
from tsavo.registry.paging import page_of
from tsavo.registry.tables import members
from tsavo.storage import Connection
from tsavo.vocabulary import Conflict, Member, NotFound, Page, VersionRef

__all__ = [
    "changed_members",
    "count_members",
    "families_of",
    "find_members",
    "get_member",
    "list_members",
    "member_versions",
    "save_members",
]

# Values in one question to the database; both engines take many more.
_AT_ONCE: Final = 5_000


def save_members(connection: Connection, endpoint: str, changes: Sequence[Member]) -> list[Member]:
    """Keep `changes` as the present members of their segments, each under a new revision.

    Parameters
    ----------
    changes
        At most one for a segment. The `revision` of each is the one that the change started from: 0 for a segment that
        never had a version.

    Raises
    ------
    Conflict
        When one of them was changed meanwhile, or comes twice; nothing is kept then.
    """
    if not changes:
        return []
    # The counter's row stays locked until the end of the transaction, so what is read next is what is replaced.
    newest = next_revision(connection, len(changes))
    first = newest - len(changes) + 1
    present = _revisions(connection, endpoint, [change.segment for change in changes])
    saved: list[Member] = []
    taken: set[str] = set()
    for revision, change in enumerate(changes, first):
        if change.segment in taken or present.get(change.segment, 0) != change.revision:
            raise Conflict(
                "this segment was changed meanwhile",
                field=f"segments.{change.segment}",
                found=f"revision {present.get(change.segment, 0)}",
                expected=f"revision {change.revision}",
                next_step=f"look at it with 'tsavo family ls {endpoint}' and try again",
            )
        taken.add(change.segment)
        saved.append(msgspec.structs.replace(change, endpoint=endpoint, revision=revision))
    _write(connection, saved, present)
    return saved


def list_members(
    connection: Connection, endpoint: str, *, search: str = "", offset: int = 0, limit: int = 50
) -> Page[Member]:
    """Members of a family that have a version, by segment; `search` is a part of the segment."""
    query = sa.select(members.c.member).where(members.c.endpoint == endpoint, members.c.model.is_not(None))
    if search:
        query = query.where(members.c.segment.contains(search, autoescape=True))
    return page_of(connection, query.order_by(members.c.segment), _member, offset=offset, limit=limit)


def count_members(connection: Connection, endpoint: str) -> int:
    """How many members of a family have a version."""
    query = sa.select(sa.func.count()).where(members.c.endpoint == endpoint, members.c.model.is_not(None))
    return int(connection.execute(query).scalar_one())


def member_versions(connection: Connection, endpoint: str) -> dict[VersionRef, str]:
    """Every version that answers for a segment of a family, with the first such segment."""
    table = members.c
    query = (
        sa.select(table.model, table.number, sa.func.min(table.segment).label("segment"))
        .where(table.endpoint == endpoint, table.model.is_not(None))
        .group_by(table.model, table.number)
    )
    return {VersionRef(row.model, row.number): row.segment for row in connection.execute(query)}


def families_of(connection: Connection, model: str) -> dict[str, int]:
    """The families in which versions of a model answer, and for how many segments each."""
    table = members.c
    query = sa.select(table.endpoint, sa.func.count().label("segments")).where(table.model == model)
    rows = connection.execute(query.group_by(table.endpoint).order_by(table.endpoint))
    return {row.endpoint: row.segments for row in rows}


def get_member(connection: Connection, endpoint: str, segment: str) -> Member:
    """The member of one segment; raise `NotFound` when it has no version."""
    member = find_members(connection, endpoint, [segment]).get(segment)
    if member is None or member.version is None:
        raise NotFound(
            f"family '{endpoint}' has no version for this segment",
            field="segment",
            found=segment,
            next_step=f"see 'tsavo family ls {endpoint}' for what there is",
        )
    return member


def find_members(connection: Connection, endpoint: str, segments: Sequence[str]) -> dict[str, Member]:
    """Those of `segments` that have or ever had a version."""
    found: dict[str, Member] = {}
    for some in _chunks(segments):
        query = sa.select(members.c.segment, members.c.member).where(
            members.c.endpoint == endpoint, members.c.segment.in_(some)
        )
        found.update({row.segment: row.member for row in connection.execute(query)})
    return found


def changed_members(connection: Connection, after: int, *, limit: int = 5000) -> list[Member]:
    """Present members of all families with a revision above `after`, in order of revision; also those taken out."""
    query = sa.select(members.c.member).where(members.c.revision > after)
    return [row.member for row in connection.execute(query.order_by(members.c.revision).limit(limit))]


def _revisions(connection: Connection, endpoint: str, segments: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in _chunks(segments):
        query = sa.select(members.c.segment, members.c.revision).where(
            members.c.endpoint == endpoint, members.c.segment.in_(some)
        )
        found.update({row.segment: row.revision for row in connection.execute(query)})
    return found


def _write(connection: Connection, saved: Sequence[Member], present: Mapping[str, int]) -> None:
    new = [_values(member) for member in saved if member.segment not in present]
    old = [
        {**_values(member), "in_segment": member.segment, "in_endpoint": member.endpoint}
        for member in saved
        if member.segment in present
    ]
    if new:
        connection.execute(members.insert(), new)
    if old:
        mine = (members.c.endpoint == sa.bindparam("in_endpoint")) & (
            members.c.segment == sa.bindparam("in_segment")
        )
        connection.execute(members.update().where(mine), old)


def _values(member: Member) -> dict[str, Any]:
    version = member.version
    return {
        "endpoint": member.endpoint,
        "segment": member.segment,
        "revision": member.revision,
        "member": member,
        "model": None if version is None else version.model,
        "number": None if version is None else version.number,
    }


def _chunks(segments: Sequence[str]) -> Iterable[Sequence[str]]:
    return (segments[start : start + _AT_ONCE] for start in range(0, len(segments), _AT_ONCE))


def _member(row: sa.Row[Any]) -> Member:
    member: Member = row.member
    return member
