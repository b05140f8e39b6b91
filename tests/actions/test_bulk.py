from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from tests.examples import NOON, digest_of, example_version, keep_versions
from tsavo.actions import ControlPlane, Handed, deploy_once, find_registered, make_family, place_members
from tsavo.governance import Principal, list_audit, local_owner
from tsavo.registry import add_model, add_version, get_route, list_members, newest_revision
from tsavo.vocabulary import Forbidden, Hints, Model, NotFound, Refused, VersionRef

ADA = local_owner("ada")
NOBODY = Principal("nobody", frozenset())


@pytest.fixture
def handed(plane: ControlPlane) -> Handed:
    """What ``credit@1`` was made from; ``credit@2`` was made from something else."""
    first = example_version("credit", "one")
    lineage = msgspec.structs.replace(first.lineage, data_digest=digest_of("data"))
    with plane.database.begin() as connection:
        add_model(connection, Model("credit", owner="ada", created=NOON))
        add_version(connection, msgspec.structs.replace(first, lineage=lineage, hints=Hints(task="binary")))
        add_version(connection, example_version("credit", "two"))
    return Handed("credit", lineage.source_digest, lineage.data_digest, "late", Hints(task="binary"))


def test_the_same_files_and_words_are_known(plane: ControlPlane, handed: Handed) -> None:
    other = Handed("debit", handed.source_digest, handed.data_digest, "late", handed.hints)
    found = find_registered(plane, ADA, [other, handed])
    assert found[0] is None
    assert found[1] is not None
    assert found[1].ref == VersionRef("credit", 1)
    assert find_registered(plane, ADA, []) == []


@pytest.mark.parametrize(
    "change",
    [
        {"source_digest": digest_of("other")},
        {"data_digest": digest_of("other")},
        {"data_digest": None},
        {"target": "default"},
        {"hints": Hints(task="regression")},
        {"runtime": "python"},
    ],
    ids=str,
)
def test_anything_else_is_not(plane: ControlPlane, handed: Handed, change: dict[str, object]) -> None:
    assert find_registered(plane, ADA, [msgspec.structs.replace(handed, **change)]) == [None]


def test_of_two_that_fit_the_newest_is_taken(plane: ControlPlane, handed: Handed) -> None:
    again = msgspec.structs.replace(
        example_version("credit", "three"),
        lineage=msgspec.structs.replace(
            example_version("credit", "one").lineage, data_digest=handed.data_digest
        ),
        hints=handed.hints,
        created=NOON + timedelta(days=1),
    )
    with plane.database.begin() as connection:
        add_version(connection, again)
    found = find_registered(plane, ADA, [handed])[0]
    assert found is not None
    assert found.ref.number == 3


def test_a_version_is_deployed_once(plane: ControlPlane) -> None:
    with plane.database.begin() as connection:
        one, two = keep_versions(connection, "credit", 2)
    for version in (one, one, two, two):
        deploy_once(plane, ADA, "credit", version, why="load")
    with plane.database.read() as connection:
        assert (get_route(connection, "credit").champion, newest_revision(connection)) == (two, 2)
    with pytest.raises(Forbidden):
        deploy_once(plane, NOBODY, "credit", one)


def test_a_member_that_does_not_fit_keeps_no_other_out(plane: ControlPlane) -> None:
    with plane.database.begin() as connection:
        one, two = keep_versions(connection, "credit", 2)
    deploy_once(plane, ADA, "credit", one)
    versions = {"voi": two, "nowhere": VersionRef("credit", 9), "mombasa": one}
    refused = place_members(plane, ADA, "credit", versions)
    # It is no family yet: nothing was tried one by one.
    assert {type(error) for error in refused.values()} == {Refused}
    assert set(refused) == set(versions)
    make_family(plane, ADA, "credit", "city")
    refused = place_members(plane, ADA, "credit", versions)
    assert {segment: type(error) for segment, error in refused.items()} == {"nowhere": NotFound}
    assert place_members(plane, ADA, "credit", {}) == {}
    with plane.database.read() as connection:
        members = list_members(connection, "credit").items
        entries = list_audit(connection, subject="endpoint:credit").items
    assert {member.segment: member.version for member in members} == {"voi": two, "mombasa": one}
    assert [entry.action for entry in entries[:2]] == ["family.set", "family.set"]
