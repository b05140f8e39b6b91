"""Families: endpoints with a version for each value of a column."""

from __future__ import annotations

from typing import Literal

import msgspec

from tsavo.actions import make_family, plug_member, remove_members, set_members, unplug_member
from tsavo.console.declaring import act, look
from tsavo.console.families import FamilyView, family_members, family_view
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right
from tsavo.registry import count_members, get_member, newest_revision
from tsavo.vocabulary import Invalid, Member, Page, Route, VersionRef

__all__ = ["FAMILY_ROUTES"]


class FamilyGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The column that chooses the segment; its type where it is not one of the champion's inputs."""

    key: str
    dtype: Literal["string", "int64"] | None = None
    unseen: Literal["parent", "refuse"] = "parent"
    why: str = ""


class MembersGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Segment -> version (``model@number``), at most 50,000."""

    members: dict[str, str]
    why: str = ""


class SegmentsGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Segments that are taken out."""

    segments: list[str]
    why: str = ""


class SegmentGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One segment, and why it is switched."""

    segment: str
    why: str = ""


class MembersChanged(msgspec.Struct, frozen=True):
    """How many members a change has changed, how many there are now, and the registry's revision with it."""

    changed: int
    members: int
    revision: int


@look("/api/families/{endpoint:str}", summary="One family")
def show_family(parts: ConsoleParts, endpoint: str) -> FamilyView:
    """By which column it is divided, its parent's route, and how many members it has."""
    return family_view(parts, endpoint)


@look("/api/families/{endpoint:str}/members", summary="A family's members")
def show_members(
    parts: ConsoleParts, endpoint: str, search: str = "", offset: int = 0, limit: int = 50
) -> Page[Member]:
    """Segments that have a version, in order; `search` is a part of the segment."""
    return family_members(parts, endpoint, search=search, offset=offset, limit=limit)


@look("/api/families/{endpoint:str}/member", summary="One member of a family")
def show_member(parts: ConsoleParts, endpoint: str, segment: str) -> Member:
    """The version of one segment."""
    with parts.plane.database.read() as connection:
        return get_member(connection, endpoint, segment)


@act("/api/families/{endpoint:str}/make", Right.DEPLOY, summary="Make an endpoint a family")
def make(parts: ConsoleParts, who: Principal, endpoint: str, data: FamilyGiven) -> Route:
    """The champion becomes the parent."""
    return make_family(
        parts.plane, who, endpoint, data.key, dtype=data.dtype, unseen=data.unseen, why=data.why
    )


@act("/api/families/{endpoint:str}/set", Right.DEPLOY, summary="Give segments their versions")
def set_versions(parts: ConsoleParts, who: Principal, endpoint: str, data: MembersGiven) -> MembersChanged:
    """All of them or none; segments that have this version already stay as they are."""
    versions = {segment: _version(segment, text) for segment, text in data.members.items()}
    return _changed(parts, endpoint, set_members(parts.plane, who, endpoint, versions, why=data.why))


@act("/api/families/{endpoint:str}/remove", Right.DEPLOY, summary="Take segments out")
def remove(parts: ConsoleParts, who: Principal, endpoint: str, data: SegmentsGiven) -> MembersChanged:
    """All of them or none."""
    return _changed(parts, endpoint, remove_members(parts.plane, who, endpoint, data.segments, why=data.why))


@act("/api/families/{endpoint:str}/plug", Right.PLUG, summary="Pull the plug of one segment")
def plug_segment(parts: ConsoleParts, who: Principal, endpoint: str, data: SegmentGiven) -> Member:
    """The parent answers for it from now on."""
    return plug_member(parts.plane, who, endpoint, data.segment, why=data.why)


@act("/api/families/{endpoint:str}/unplug", Right.PLUG, summary="Put the plug of one segment back")
def unplug_segment(parts: ConsoleParts, who: Principal, endpoint: str, data: SegmentGiven) -> Member:
    """Its version answers again."""
    return unplug_member(parts.plane, who, endpoint, data.segment, why=data.why)


def _version(segment: str, text: str) -> VersionRef:
    try:
        return VersionRef.parse(text)
    except Invalid as error:
        error.field = f"members.{segment[:50]}"
        raise


def _changed(parts: ConsoleParts, endpoint: str, changed: list[Member]) -> MembersChanged:
    with parts.plane.database.read() as connection:
        members = count_members(connection, endpoint)
        revision = changed[-1].revision if changed else newest_revision(connection)
    return MembersChanged(len(changed), members, revision)


FAMILY_ROUTES = [
    show_family,
    show_members,
    show_member,
    make,
    set_versions,
    remove,
    plug_segment,
    unplug_segment,
]
