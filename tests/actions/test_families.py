from __future__ import annotations

import msgspec
import pytest

from tests.examples import CLASSIFIER, REGRESSOR, keep_versions
from tsavo.actions import (
    ControlPlane,
    deploy,
    make_family,
    plug_member,
    remove_members,
    roll_back,
    set_members,
    unplug_member,
)
from tsavo.actions.segments import check_members, check_segment
from tsavo.governance import AuditEntry, Principal, Right, list_audit, local_owner
from tsavo.registry import count_members, get_member, get_route, list_members, newest_revision
from tsavo.vocabulary import (
    Conflict,
    Field,
    Forbidden,
    Invalid,
    Member,
    NotFound,
    Output,
    Refused,
    Segments,
    Signature,
    TooLarge,
    TsavoError,
    VersionRef,
)

ADA = local_owner("ada")
WIDE = Signature(
    (
        Field("age", "int64"),
        Field("city", "string", nullable=True),
        Field("income", "float64"),
    ),
    CLASSIFIER.outputs,
    "binary",
    (0, 1),
)


def ref(number: int, model: str = "credit") -> VersionRef:
    return VersionRef(model, number)


@pytest.fixture
def credit(plane: ControlPlane) -> ControlPlane:
    """Three versions of 'credit' behind an endpoint, a regressor, and one that wants another column."""
    with plane.database.begin() as connection:
        keep_versions(connection, "credit", 3)
        keep_versions(connection, "price", 1, REGRESSOR)
        keep_versions(connection, "wide", 1, WIDE)
    deploy(plane, ADA, "credit", ref(1))
    return plane


@pytest.fixture
def family(credit: ControlPlane) -> ControlPlane:
    make_family(credit, ADA, "credit", "region")
    return credit


def versions_of(plane: ControlPlane) -> dict[str, str]:
    with plane.database.read() as connection:
        return {one.segment: str(one.version) for one in list_members(connection, "credit", limit=1000).items}


def latest(plane: ControlPlane) -> AuditEntry:
    with plane.database.read() as connection:
        return list_audit(connection, subject="endpoint:credit", limit=1).items[0]


def revision(plane: ControlPlane) -> int:
    with plane.database.read() as connection:
        return newest_revision(connection)


def test_an_endpoint_becomes_a_family(credit: ControlPlane) -> None:
    route = make_family(credit, ADA, "credit", "region", unseen="refuse", why="by region")
    assert route.segments == Segments("region", "string", "refuse")
    assert (route.champion, route.changed_by, route.why) == (ref(1), "ada", "by region")
    with credit.database.read() as connection:
        assert get_route(connection, "credit") == route
    entry = latest(credit)
    assert (entry.action, entry.who, entry.why) == ("family.make", "ada", "by region")
    assert (entry.before["segments"], entry.after["segments"]["key"]) == (None, "region")


def test_the_key_has_the_type_of_the_champions_own_column(credit: ControlPlane) -> None:
    assert make_family(credit, ADA, "credit", "age").segments == Segments("age", "int64")
    assert make_family(credit, ADA, "credit", "city").segments == Segments("city", "string")
    assert make_family(credit, ADA, "credit", "store", dtype="int64").segments == Segments("store", "int64")
    with pytest.raises(Invalid) as caught:
        make_family(credit, ADA, "credit", "city", dtype="int64")
    assert caught.value.field == "dtype"
    deploy(credit, ADA, "wide", ref(1, "wide"))
    with pytest.raises(Invalid, match="float64"):
        make_family(credit, ADA, "wide", "income")
    for name in ("", "a\nb", "x" * 201):
        with pytest.raises(Invalid):
            make_family(credit, ADA, "credit", name)
    with pytest.raises(NotFound):
        make_family(credit, ADA, "nowhere", "region")


def test_another_key_is_only_for_a_family_without_members(family: ControlPlane) -> None:
    set_members(family, ADA, "credit", {"north": ref(2)})
    assert make_family(family, ADA, "credit", "region", unseen="refuse").segments == Segments(
        "region", "string", "refuse"
    )
    with pytest.raises(Conflict, match="1 members"):
        make_family(family, ADA, "credit", "city")
    remove_members(family, ADA, "credit", ["north"])
    assert make_family(family, ADA, "credit", "city").segments == Segments("city")


def test_segments_get_their_versions(family: ControlPlane) -> None:
    changed = set_members(family, ADA, "credit", {"north": ref(2), "süd": ref(3)}, why="first")
    assert [(one.segment, one.version, one.changed_by, one.why) for one in changed] == [
        ("north", ref(2), "ada", "first"),
        ("süd", ref(3), "ada", "first"),
    ]
    assert versions_of(family) == {"north": "credit@2", "süd": "credit@3"}
    entry = latest(family)
    assert (entry.action, entry.before, entry.after) == (
        "family.set",
        {"members": {}},
        {"members": {"north": "credit@2", "süd": "credit@3"}},
    )
    with family.database.read() as connection:
        assert get_member(connection, "credit", "north").changed == entry.time


def test_setting_the_same_again_changes_nothing(family: ControlPlane) -> None:
    set_members(family, ADA, "credit", {"north": ref(2), "south": ref(2)})
    before = revision(family)
    assert set_members(family, ADA, "credit", {"north": ref(2), "south": ref(2)}) == []
    assert revision(family) == before
    (changed,) = set_members(family, ADA, "credit", {"north": ref(2), "south": ref(3)})
    assert (changed.segment, changed.revision) == ("south", before + 1)
    assert latest(family).before == {"members": {"south": "credit@2"}}


@pytest.mark.parametrize(
    ("segment", "version", "error", "said"),
    [
        ("x", ref(1, "price"), Refused, "task"),
        ("x", ref(1, "wide"), Refused, "income"),
        ("x", ref(9), NotFound, "credit@9"),
        ("x", ref(1, "nobody"), NotFound, "nobody@1"),
        ("", ref(2), Invalid, "not a segment"),
        ("a\tb", ref(2), Invalid, "not a segment"),
        ("a\u2028b", ref(2), Invalid, "not a segment"),
        ("a" * 201, ref(2), Invalid, "not a segment"),
    ],
)
def test_all_or_nothing_and_the_error_names_the_segment(
    family: ControlPlane, segment: str, version: VersionRef, error: type[TsavoError], said: str
) -> None:
    before = revision(family)
    with pytest.raises(error, match=said) as caught:
        set_members(family, ADA, "credit", {"north": ref(2), segment: version})
    assert caught.value.field is not None
    assert caught.value.field.startswith("segments")
    if segment == "x":
        assert caught.value.field == "segments.x"
    assert versions_of(family) == {}
    assert (revision(family), latest(family).action) == (before, "family.make")


def test_whole_numbers_are_written_in_one_way_only() -> None:
    whole = Segments("store", "int64")
    for good in ("0", "7", "-7", "9223372036854775807", "-9223372036854775808"):
        check_segment(whole, good)
    for bad in ("", "07", "-0", "+7", " 7", "7.0", "1e3", "٣", "9223372036854775808", "9" * 30, "1_000", "-"):
        with pytest.raises(Invalid) as caught:
            check_segment(whole, bad)
        assert (caught.value.field or "").startswith("segments")


def test_an_endpoint_that_is_no_family_has_no_members(credit: ControlPlane) -> None:
    for change in (
        lambda: set_members(credit, ADA, "credit", {"north": ref(2)}),
        lambda: remove_members(credit, ADA, "credit", ["north"]),
        lambda: plug_member(credit, ADA, "credit", "north"),
    ):
        with pytest.raises(Refused, match="no family"):
            change()
    with pytest.raises(NotFound):
        set_members(credit, ADA, "nowhere", {"north": ref(2)})


def test_segments_are_taken_out_together_or_not_at_all(family: ControlPlane) -> None:
    set_members(family, ADA, "credit", {"north": ref(2), "south": ref(3), "west": ref(1)})
    with pytest.raises(NotFound) as caught:
        remove_members(family, ADA, "credit", ["north", "east"])
    assert caught.value.field == "segments.east"
    assert len(versions_of(family)) == 3
    gone = remove_members(family, ADA, "credit", ["north", "south", "north"], why="closed")
    assert [(one.segment, one.version) for one in gone] == [("north", None), ("south", None)]
    assert versions_of(family) == {"west": "credit@1"}
    assert latest(family).after == {"members": {"north": None, "south": None}}
    with pytest.raises(NotFound):
        remove_members(family, ADA, "credit", ["north"])
    set_members(family, ADA, "credit", {"north": ref(3)})
    assert versions_of(family) == {"north": "credit@3", "west": "credit@1"}


def test_the_plug_of_one_segment(family: ControlPlane) -> None:
    set_members(family, ADA, "credit", {"north": ref(2), "south": ref(2)})
    pulled = plug_member(family, ADA, "credit", "north", why="odd")
    assert pulled.plug is not None
    assert (pulled.plug.by, pulled.plug.why, pulled.version) == ("ada", "odd", ref(2))
    assert latest(family).after["members"]["north"]["plug"]["why"] == "odd"
    with pytest.raises(Conflict):
        plug_member(family, ADA, "credit", "north")
    # A list that is sent again puts no plug back.
    assert set_members(family, ADA, "credit", {"north": ref(2), "south": ref(2)}) == []
    with pytest.raises(Conflict):
        unplug_member(family, ADA, "credit", "south")
    assert unplug_member(family, ADA, "credit", "north").plug is None
    plug_member(family, ADA, "credit", "north")
    (replaced,) = set_members(family, ADA, "credit", {"north": ref(3)})
    assert (replaced.plug, replaced.version) == (None, ref(3))
    with pytest.raises(NotFound):
        plug_member(family, ADA, "credit", "east")


def test_who_lacks_the_right_changes_nothing(family: ControlPlane) -> None:
    set_members(family, ADA, "credit", {"north": ref(2)})
    reader = Principal("eve", frozenset({Right.READ, Right.PLUG}))
    for change in (
        lambda: make_family(family, reader, "credit", "city"),
        lambda: set_members(family, reader, "credit", {"north": ref(3)}),
        lambda: remove_members(family, reader, "credit", ["north"]),
    ):
        with pytest.raises(Forbidden):
            change()
    plug_member(family, reader, "credit", "north")
    with pytest.raises(Forbidden):
        unplug_member(family, Principal("eve", frozenset({Right.DEPLOY})), "credit", "north")


def test_how_many_at_once(family: ControlPlane) -> None:
    with pytest.raises(TooLarge):
        set_members(family, ADA, "credit", {str(number): ref(1) for number in range(50_001)})
    with pytest.raises(Invalid):
        set_members(family, ADA, "credit", {})
    many: dict[str, VersionRef] = {f"segment {number}": ref(1 + number % 3) for number in range(6_000)}
    changed: list[Member] = set_members(family, ADA, "credit", many)
    assert {one.segment: one.version for one in changed} == many
    with family.database.read() as connection:
        assert count_members(connection, "credit") == 6_000


def test_a_next_parent_must_speak_what_members_need(family: ControlPlane) -> None:
    narrow = Signature((Field("age", "int64"),), CLASSIFIER.outputs, "binary", (0, 1))
    with family.database.begin() as connection:
        keep_versions(connection, "narrow", 1, narrow)
        check_members(connection, "credit", ref(1, "narrow"))
    set_members(family, ADA, "credit", {"north": ref(2)})
    with family.database.read() as connection:
        check_members(connection, "credit", ref(3))
        with pytest.raises(Refused, match="'city' is not sent") as caught:
            check_members(connection, "credit", ref(1, "narrow"))
    assert caught.value.field == "segments.north"


def test_a_family_gets_no_parent_whose_callers_would_not_feed_its_members(family: ControlPlane) -> None:
    narrow = Signature((Field("age", "int64"),), CLASSIFIER.outputs, "binary", (0, 1))
    with family.database.begin() as connection:
        keep_versions(connection, "narrow", 1, narrow)
    set_members(family, ADA, "credit", {"north": ref(2)})
    with pytest.raises(Refused, match="segment 'north'"):
        deploy(family, ADA, "credit", ref(1, "narrow"), fallback=[])
    deploy(family, ADA, "credit", ref(3))
    assert roll_back(family, ADA, "credit").segments == Segments("region")
    remove_members(family, ADA, "credit", ["north"])
    assert deploy(family, ADA, "credit", ref(1, "narrow"), fallback=[]).champion == ref(1, "narrow")


def test_a_signature_with_more_outputs_may_answer(family: ControlPlane) -> None:
    more = msgspec.structs.replace(CLASSIFIER, outputs=(*CLASSIFIER.outputs, Output("reason", "string")))
    with family.database.begin() as connection:
        keep_versions(connection, "more", 1, more)
    set_members(family, ADA, "credit", {"north": ref(1, "more")})
    assert versions_of(family) == {"north": "more@1"}
