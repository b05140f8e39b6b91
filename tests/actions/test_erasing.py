"""What is personal is said of an endpoint; whose it is can be erased, from any point at which a crash left it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.examples import keep_versions
from tests.lake.scene import MIXED, Scene, decision
from tests.lake.test_sealed import carried, sealed
from tsavo.actions import (
    BackupsErased,
    ControlPlane,
    deploy,
    erase_subject,
    finish_erasures,
    keys_of_plane,
    make_family,
    mark_personal,
    pseudonym_of,
    reveal_decision,
)
from tsavo.governance import Principal, Right, list_audit, local_owner
from tsavo.lake import Lake
from tsavo.registry import keep_waiting, list_erasures, list_waiting, save_query
from tsavo.vocabulary import (
    Erasure,
    Field,
    Forbidden,
    Invalid,
    Output,
    Privacy,
    Refused,
    SavedQuery,
    Signature,
    VersionRef,
    WaitingOutcome,
)

ADA = local_owner("ada")
ONE = VersionRef("credit-risk", 1)
WHY = "asked to be forgotten"


@pytest.fixture
def risk(plane: ControlPlane) -> ControlPlane:
    """A control plane with the endpoint whose decisions the lake's tests make."""
    with plane.database.begin() as connection:
        keep_versions(connection, "credit-risk", 2, MIXED)
        # As the lake's tests call it.
        keep_versions(connection, "m", 2, MIXED)
    deploy(plane, ADA, "credit-risk", ONE)
    return plane


def lake_of(plane: ControlPlane, tmp_path: Path) -> tuple[Scene, Lake]:
    ring = keys_of_plane(plane)
    home = tmp_path / "home"
    home.mkdir()
    scene = Scene(home)
    scene.lake = Lake(scene.root, scene.journals, lambda _model, _version: MIXED, ring.unseal, ring.own)
    return scene, scene.lake


def no_backups(pseudonym: str, ids: Sequence[bytes], files: Sequence[str]) -> BackupsErased:
    return BackupsErased({}, (), {})


def finish(plane: ControlPlane, lake: Lake) -> list[Erasure]:
    def ship() -> None:
        while lake.ship().more:
            continue

    return finish_erasures(plane, lake, ship=ship, backups=no_backups, scrub=lambda: None)


def test_what_is_personal_is_kept_with_the_route_and_noted(risk: ControlPlane) -> None:
    route = mark_personal(risk, ADA, "credit-risk", subject="carrier", personal=["age", "carrier"], why="law")
    assert route.privacy == Privacy("carrier", ("age",))
    assert deploy(risk, ADA, "credit-risk", VersionRef("credit-risk", 2)).privacy == route.privacy
    assert mark_personal(risk, ADA, "credit-risk", personal=["age"]).privacy == Privacy(None, ("age",))
    assert mark_personal(risk, ADA, "credit-risk", nothing=True).privacy is None
    with risk.database.read() as connection:
        entry = list_audit(connection, action="endpoint.personal", limit=10).items[-1]
    assert (entry.who, entry.why, entry.after["privacy"]["subject"]) == ("ada", "law", "carrier")


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({}, "personal", "nothing is named"),
        ({"subject": "customer"}, "subject", "no such column"),
        ({"personal": ["age", "name"]}, "personal", "no such column"),
        ({"personal": ["age"] * 1001}, "personal", "too many"),
    ],
    ids=["nothing", "no-subject", "no-column", "too-many"],
)
def test_what_cannot_be_personal_is_refused(
    risk: ControlPlane, given: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(Invalid, match=said) as caught:
        mark_personal(risk, ADA, "credit-risk", **given)
    assert caught.value.field == field


def test_columns_that_cannot_be_sealed_are_refused(risk: ControlPlane) -> None:
    make_family(risk, ADA, "credit-risk", "carrier")
    with pytest.raises(Refused, match="cannot be sealed"):
        mark_personal(risk, ADA, "credit-risk", subject="carrier")
    with risk.database.begin() as connection:
        keep_versions(connection, "other", 1, MIXED)
    deploy(risk, ADA, "other", VersionRef("other", 1))
    mark_personal(risk, ADA, "other", subject="carrier")
    with pytest.raises(Refused, match="personal"):
        make_family(risk, ADA, "other", "carrier")
    narrow = Signature(
        (Field("customer", "float32"), Field("age", "float32")), (Output("value", "float64"),), "regression"
    )
    with risk.database.begin() as connection:
        keep_versions(connection, "narrow", 1, narrow)
    deploy(risk, ADA, "narrow", VersionRef("narrow", 1))
    with pytest.raises(Refused, match="32-bit"):
        mark_personal(risk, ADA, "narrow", subject="customer")
    assert mark_personal(risk, ADA, "narrow", personal=["customer"]).privacy == Privacy(None, ("customer",))


@pytest.mark.parametrize(
    ("subject", "why", "field"),
    [
        ("zoe", " ", "why"),
        ("zoe", "zoe asked for it", "why"),
        ("", WHY, "subject"),
        (1.5, WHY, "subject"),
        (True, WHY, "subject"),
        ("x" * 257, WHY, "subject"),
    ],
    ids=["no-reason", "names-them", "empty", "fraction", "truth", "too-long"],
)
def test_nobody_is_erased_by_mistake(
    risk: ControlPlane, tmp_path: Path, subject: Any, why: str, field: str
) -> None:
    _, lake = lake_of(risk, tmp_path)
    with pytest.raises(Invalid) as caught:
        erase_subject(risk, lake, ADA, subject, why=why)
    assert caught.value.field == field
    with risk.database.read() as connection:
        assert list_erasures(connection).total == 0


def test_only_who_may_looks_and_erases(risk: ControlPlane, tmp_path: Path) -> None:
    eve = Principal("eve", frozenset(set(Right) - {Right.PRIVACY}))
    _, lake = lake_of(risk, tmp_path)
    with pytest.raises(Forbidden):
        erase_subject(risk, lake, eve, "zoe", why=WHY)
    with pytest.raises(Forbidden):
        reveal_decision(risk, lake, eve, "0197f0a0-0000-7000-8000-000000000000:0", why=WHY)


def test_who_looks_is_noted_and_must_say_why(risk: ControlPlane, tmp_path: Path) -> None:
    scene, lake = lake_of(risk, tmp_path)
    (record,) = sealed(keys_of_plane(risk), [(MIXED, carried(1, "zoe"))], ["carrier"], ["zoe"])
    scene.write(record, decision(2, version=2))
    with pytest.raises(Invalid, match="for a reason"):
        reveal_decision(risk, lake, ADA, f"{record.request}:0", why="")
    with pytest.raises(Invalid, match="nothing of this decision"):
        reveal_decision(risk, lake, ADA, f"{decision(2).request}:0", why="a complaint")
    assert reveal_decision(risk, lake, ADA, f"{record.request}:0", why="a complaint").values == {
        "carrier": "zoe"
    }
    with risk.database.read() as connection:
        seen = list_audit(connection, action="personal", limit=10).items
    assert [(one.who, one.subject, one.why) for one in seen] == [
        ("ada", f"decision:{record.request}:0", "a complaint")
    ]


def test_an_erasure_that_a_crash_cut_short_is_finished(risk: ControlPlane, tmp_path: Path) -> None:
    """The registry says that somebody is to be erased, and nothing of it was done."""
    scene, lake = lake_of(risk, tmp_path)
    ring = keys_of_plane(risk)
    mark_personal(risk, ADA, "credit-risk", subject="carrier")
    scene.write(carried(1, "zoe"), carried(2, "ada"))
    scene.write(*sealed(ring, [(MIXED, carried(3, "zoe"))], ["carrier"], ["zoe"]))
    zoe = pseudonym_of(risk, ADA, "zoe")
    now = risk.clock.now()
    waits = [
        WaitingOutcome("credit-risk", key, value, 1, now, None, False, None, now, "ada")
        for key, value in (("carrier", "zoe"), ("pseudonym", zoe), ("carrier", "ada"), ("age", 30))
    ]
    from tsavo.registry import save_erasure

    with risk.database.begin() as connection:
        keep_waiting(connection, waits)
        save_erasure(connection, Erasure("e1", zoe, now, "ada", WHY, pending=True))
    (done,) = finish(risk, lake)
    assert (done.id, done.keys, done.rows, done.waiting, done.pending) == ("e1", 1, 1, 2, False)
    assert finish(risk, lake) == []
    assert lake.recorded("credit-risk", [carried(3, "").request])[0].erased == (0,)
    assert [row["decision_id"] for row in lake.sql("select decision_id from decisions").to_pylist()] == [
        f"{carried(number, '').request}:0" for number in (2, 3)
    ]
    with risk.database.read() as connection:
        left = list_waiting(connection, "credit-risk").items
    assert sorted(str(one.value) for one in left) == ["30", "ada"]


def test_copies_in_plain_text_are_named(risk: ControlPlane, tmp_path: Path) -> None:
    _, lake = lake_of(risk, tmp_path)
    exports = tmp_path / "exports"
    (exports / "daily").mkdir(parents=True)
    (exports / "daily" / "mail.csv").write_text("customer\nzoe.quarrington\n")
    (exports / "other.csv").write_text("customer\nada\n")
    text = "select * from credit where customer = 'zoe.quarrington'"
    with risk.database.begin() as connection:
        save_query(connection, SavedQuery("of-zoe", 1, text, "", "ada", risk.clock.now(), ""))
    done = erase_subject(risk, lake, ADA, "zoe.quarrington", why=WHY, folders=[exports])
    assert set(done.found) == {str(exports / "daily" / "mail.csv"), "saved query of-zoe"}
    assert done.pending
    (finished,) = finish(risk, lake)
    assert finished.found == done.found
    with risk.database.read() as connection:
        page = list_erasures(connection, subject=pseudonym_of(risk, ADA, "zoe.quarrington"))
    assert page.items == (finished,)
