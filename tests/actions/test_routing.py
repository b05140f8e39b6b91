from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.examples import REGRESSOR, keep_versions
from tsavo.actions import ControlPlane, deploy, promote, pull_plug, release_plug, roll_back, shadow
from tsavo.governance import Principal, Right, list_audit, local_owner
from tsavo.registry import find_route, get_route, route_history
from tsavo.vocabulary import (
    Challenger,
    Conflict,
    ConstantFallback,
    Forbidden,
    Invalid,
    NotFound,
    Refused,
    Route,
    VersionFallback,
    VersionRef,
)

ADA = local_owner("ada")
CONSTANT = ConstantFallback({"label": 0, "probabilities": [0.8, 0.2]})


def ref(number: int, model: str = "credit") -> VersionRef:
    return VersionRef(model, number)


@pytest.fixture
def credit(plane: ControlPlane) -> ControlPlane:
    """A control plane that knows four versions of 'credit' and a regressor."""
    with plane.database.begin() as connection:
        keep_versions(connection, "credit", 4)
        keep_versions(connection, "price", 1, REGRESSOR)
    return plane


def route_of(plane: ControlPlane, endpoint: str = "credit") -> Route:
    with plane.database.read() as connection:
        return get_route(connection, endpoint)


def entries(plane: ControlPlane) -> list[str]:
    with plane.database.read() as connection:
        return [entry.action for entry in list_audit(connection, limit=1000).items][::-1]


def test_deploying_makes_the_endpoint(credit: ControlPlane) -> None:
    route = deploy(credit, ADA, "credit", ref(1), why="first")
    assert route == route_of(credit)
    assert (route.champion, route.fallback, route.challengers, route.plug) == (ref(1), (), (), None)
    assert (route.changed_by, route.why, route.revision) == ("ada", "first", 1)
    assert route.changed is not None
    with credit.database.read() as connection:
        (entry,) = list_audit(connection, subject="endpoint:credit").items
    assert (entry.before, entry.after["revision"], entry.time) == (None, 1, route.changed)


def test_the_earlier_champion_takes_over_when_needed(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1), fallback=[CONSTANT])
    assert deploy(credit, ADA, "credit", ref(2)).fallback == (VersionFallback(ref(1)), CONSTANT)
    assert deploy(credit, ADA, "credit", ref(3)).fallback == (
        VersionFallback(ref(2)),
        VersionFallback(ref(1)),
        CONSTANT,
    )
    # Two earlier versions are enough; the constant stays at the end.
    assert deploy(credit, ADA, "credit", ref(4)).fallback == (
        VersionFallback(ref(3)),
        VersionFallback(ref(2)),
        CONSTANT,
    )
    # A version that comes back is not its own fallback.
    assert deploy(credit, ADA, "credit", ref(3)).fallback == (
        VersionFallback(ref(4)),
        VersionFallback(ref(2)),
        CONSTANT,
    )


def test_deploying_the_champion_again_keeps_its_chain(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1), fallback=[CONSTANT])
    assert deploy(credit, ADA, "credit", ref(1)).fallback == (CONSTANT,)


def test_a_version_that_callers_could_not_use_is_refused(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1))
    for action in (deploy, shadow):
        with pytest.raises(Refused, match="task is binary") as caught:
            action(credit, ADA, "credit", ref(1, "price"))
        assert caught.value.details
    assert route_of(credit).champion == ref(1)
    assert entries(credit) == ["endpoint.deploy"]


@pytest.mark.parametrize(
    "action",
    [
        lambda plane: deploy(plane, ADA, "credit", ref(9)),
        lambda plane: deploy(plane, ADA, "credit", ref(1, "unknown")),
        lambda plane: shadow(plane, ADA, "nowhere", ref(1)),
        lambda plane: promote(plane, ADA, "nowhere"),
        lambda plane: roll_back(plane, ADA, "nowhere"),
        lambda plane: pull_plug(plane, ADA, "nowhere"),
        lambda plane: release_plug(plane, ADA, "nowhere"),
    ],
)
def test_what_is_not_there_cannot_serve(
    credit: ControlPlane, action: Callable[[ControlPlane], Route]
) -> None:
    with pytest.raises(NotFound):
        action(credit)
    assert entries(credit) == []


def test_a_bad_endpoint_name_is_refused(credit: ControlPlane) -> None:
    with pytest.raises(Invalid):
        deploy(credit, ADA, "Credit!", ref(1))


@pytest.mark.parametrize(
    "fallback",
    [
        VersionFallback(ref(1)),
        VersionFallback(ref(1, "price")),
        ConstantFallback({"label": 7, "probabilities": [0.5, 0.5]}),
        ConstantFallback({"label": 0}),
    ],
)
def test_a_fallback_must_be_able_to_stand_in(
    credit: ControlPlane, fallback: VersionFallback | ConstantFallback
) -> None:
    with pytest.raises(Invalid) as caught:
        deploy(credit, ADA, "credit", ref(1), fallback=[fallback])
    assert str(caught.value.field).startswith("fallback")
    with credit.database.read() as connection:
        assert find_route(connection, "credit") is None


def test_a_shadow_becomes_the_champion(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1))
    assert shadow(credit, ADA, "credit", ref(2)).challengers == (Challenger(ref(2)),)
    assert shadow(credit, ADA, "credit", ref(3)).challengers == (Challenger(ref(3)),)
    with pytest.raises(Conflict, match="champion already"):
        shadow(credit, ADA, "credit", ref(1))
    with pytest.raises(Conflict, match="no such challenger"):
        promote(credit, ADA, "credit", ref(2))
    route = promote(credit, ADA, "credit", why="better")
    assert (route.champion, route.challengers, route.fallback) == (ref(3), (), (VersionFallback(ref(1)),))
    with pytest.raises(Conflict, match="no such challenger"):
        promote(credit, ADA, "credit")


def test_deploying_the_challenger_ends_its_shadow(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1))
    shadow(credit, ADA, "credit", ref(2))
    assert deploy(credit, ADA, "credit", ref(2)).challengers == ()


def test_promoting_puts_the_plug_back(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1))
    shadow(credit, ADA, "credit", ref(2))
    assert pull_plug(credit, ADA, "credit").plug is not None
    assert promote(credit, ADA, "credit").plug is None


def test_rolling_back_restores_the_route_of_the_champion_before(credit: ControlPlane) -> None:
    first = deploy(credit, ADA, "credit", ref(1), fallback=[CONSTANT])
    with pytest.raises(Conflict, match="no earlier champion"):
        roll_back(credit, ADA, "credit")
    deploy(credit, ADA, "credit", ref(2))
    pull_plug(credit, ADA, "credit")
    back = roll_back(credit, ADA, "credit", why="worse")
    assert (back.champion, back.fallback, back.plug, back.why) == (ref(1), first.fallback, None, "worse")
    # Once more is forward again: the champion before this one is version 2.
    assert roll_back(credit, ADA, "credit").champion == ref(2)


def test_rolling_back_looks_past_many_changes_of_the_same_champion(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1))
    deploy(credit, ADA, "credit", ref(2))
    for _ in range(60):
        pull_plug(credit, ADA, "credit")
        release_plug(credit, ADA, "credit")
    assert roll_back(credit, ADA, "credit").champion == ref(1)


def test_the_plug_is_pulled_and_put_back(credit: ControlPlane) -> None:
    deployed = deploy(credit, ADA, "credit", ref(1), fallback=[CONSTANT])
    pulled = pull_plug(credit, ADA, "credit", why="drill")
    assert pulled.plug is not None
    assert (pulled.plug.by, pulled.plug.why, pulled.champion) == ("ada", "drill", ref(1))
    assert pulled.fallback == deployed.fallback
    with pytest.raises(Conflict, match="pulled already"):
        pull_plug(credit, ADA, "credit")
    # With another chain it is a change, so it goes through.
    assert pull_plug(credit, ADA, "credit", fallback=[]).fallback == ()
    assert release_plug(credit, ADA, "credit").plug is None
    with pytest.raises(Conflict, match="not pulled"):
        release_plug(credit, ADA, "credit")
    assert entries(credit) == ["endpoint.deploy", "endpoint.plug", "endpoint.plug", "endpoint.unplug"]


@pytest.mark.parametrize(
    ("right", "action"),
    [
        (Right.DEPLOY, lambda plane, who: deploy(plane, who, "credit", ref(2))),
        (Right.DEPLOY, lambda plane, who: shadow(plane, who, "credit", ref(2))),
        (Right.DEPLOY, lambda plane, who: promote(plane, who, "credit")),
        (Right.DEPLOY, lambda plane, who: roll_back(plane, who, "credit")),
        (Right.PLUG, lambda plane, who: pull_plug(plane, who, "credit")),
        (Right.PLUG, lambda plane, who: release_plug(plane, who, "credit")),
    ],
)
def test_without_the_right_nothing_changes(
    credit: ControlPlane, right: Right, action: Callable[[ControlPlane, Principal], Route]
) -> None:
    before = deploy(credit, ADA, "credit", ref(1))
    with pytest.raises(Forbidden):
        action(credit, Principal("eve", frozenset(Right) - {right}))
    assert route_of(credit) == before
    assert entries(credit) == ["endpoint.deploy"]


def test_every_change_by_many_people_has_one_entry_and_one_route(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1))
    done: list[str] = ["endpoint.deploy"]

    def flip(name: str) -> None:
        for _ in range(8):
            for action, word in ((pull_plug, "endpoint.plug"), (release_plug, "endpoint.unplug")):
                try:
                    action(credit, local_owner(name), "credit")
                    done.append(word)
                except Conflict:
                    continue

    threads = [threading.Thread(target=flip, args=(f"person {number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with credit.database.read() as connection:
        history = route_history(connection, "credit", limit=1000).items[::-1]
        audited = list_audit(connection, limit=1000).items[::-1]
    assert sorted(entry.action for entry in audited) == sorted(done)
    # The audit trail is the history: each change began where the one before it ended.
    assert [entry.after["revision"] for entry in audited] == [route.revision for route in history]
    assert [entry.before["revision"] for entry in audited[1:]] == [route.revision for route in history[:-1]]
    assert [route.plug is not None for route in history] == [turn % 2 == 1 for turn in range(len(history))]
