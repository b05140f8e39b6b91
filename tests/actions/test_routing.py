from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import pytest

from tests.examples import CLASSIFIER, keep_versions
from tsavo.actions import (
    ControlPlane,
    deploy,
    limit,
    promote,
    pull_plug,
    release_plug,
    roll_back,
    shadow,
    share,
    start_drill,
)
from tsavo.governance import Principal, Right, list_audit, local_owner
from tsavo.registry import find_route, get_route, route_history
from tsavo.vocabulary import (
    Challenger,
    Condition,
    Conflict,
    ConstantFallback,
    Fallback,
    Forbidden,
    Invalid,
    NotFound,
    Refused,
    Route,
    Rule,
    RulesFallback,
    Split,
    VersionFallback,
    VersionRef,
)

ADA = local_owner("ada")
RULES = RulesFallback(
    (Rule((Condition("age", below=25),), {"label": 1, "probabilities": [0.4, 0.6]}),),
    {"label": 0, "probabilities": [0.8, 0.2]},
)
CONSTANT = ConstantFallback({"label": 0, "probabilities": [0.8, 0.2]})


def ref(number: int, model: str = "credit") -> VersionRef:
    return VersionRef(model, number)


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


def test_a_rule_table_stays_behind_the_versions(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1), fallback=[RULES, CONSTANT])
    assert deploy(credit, ADA, "credit", ref(2)).fallback == (VersionFallback(ref(1)), RULES, CONSTANT)


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
        lambda plane: share(plane, ADA, "nowhere", ref(1), 0.5),
        lambda plane: limit(plane, ADA, "nowhere", concurrent=3),
        lambda plane: start_drill(plane, ADA, "nowhere"),
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
        RulesFallback(RULES.rules, {"label": 0}),
        RulesFallback((Rule((Condition("height", below=2),), CONSTANT.outputs),), CONSTANT.outputs),
        ConstantFallback({"label": 7, "probabilities": [0.5, 0.5]}),
        ConstantFallback({"label": 0}),
    ],
)
def test_a_fallback_must_be_able_to_stand_in(credit: ControlPlane, fallback: Fallback) -> None:
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


def test_where_there_are_several_challengers_the_one_to_promote_is_named(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1))
    share(credit, ADA, "credit", ref(2), 0.25, by="caller")
    both = shadow(credit, ADA, "credit", ref(3))
    assert both.challengers == (Challenger(ref(2), "share", 0.25), Challenger(ref(3)))
    with pytest.raises(Conflict, match="several challengers"):
        promote(credit, ADA, "credit")
    promoted = promote(credit, ADA, "credit", ref(2))
    assert (promoted.champion, promoted.challengers) == (ref(2), (Challenger(ref(3)),))
    # Nobody has a share any more: how it was divided is forgotten.
    assert promoted.split == Split()


def test_another_champion_keeps_shares_and_seed(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1))
    split = share(credit, ADA, "credit", ref(2), 0.25, by="caller").split
    route = deploy(credit, ADA, "credit", ref(3))
    assert (route.challengers, route.split) == ((Challenger(ref(2), "share", 0.25),), split)
    assert deploy(credit, ADA, "credit", ref(2)).challengers == ()


def test_a_version_has_a_share_or_is_a_shadow(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1))
    shadow(credit, ADA, "credit", ref(2))
    assert share(credit, ADA, "credit", ref(2), 0.5).challengers == (Challenger(ref(2), "share", 0.5),)
    assert shadow(credit, ADA, "credit", ref(2)).challengers == (Challenger(ref(2)),)


def test_rolling_back_gives_no_share_to_the_version_that_is_taken_out(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ref(1))
    shadow(credit, ADA, "credit", ref(3))
    share(credit, ADA, "credit", ref(2), 0.25)
    promote(credit, ADA, "credit", ref(2))
    limit(credit, ADA, "credit", milliseconds=50, warm=True)
    back = roll_back(credit, ADA, "credit")
    assert (back.champion, back.challengers, back.split) == (ref(1), (Challenger(ref(3)),), Split())
    # What it may take of a gateway has nothing to do with who answers.
    assert (back.limits.milliseconds, back.warm) == (50, True)


def test_challengers_that_do_not_fit_a_new_champion_are_taken_out(plane: ControlPlane) -> None:
    narrow = msgspec.structs.replace(CLASSIFIER, inputs=CLASSIFIER.inputs[:1])
    with plane.database.begin() as connection:
        keep_versions(connection, "credit", 2)
        keep_versions(connection, "narrow", 1, narrow)
    deploy(plane, ADA, "credit", ref(1))
    share(plane, ADA, "credit", ref(2), 0.25)
    assert deploy(plane, ADA, "credit", ref(1, "narrow"), fallback=[]).challengers == ()


def test_a_chain_that_could_not_stand_in_is_refused_at_the_promotion(plane: ControlPlane) -> None:
    narrow = msgspec.structs.replace(CLASSIFIER, inputs=CLASSIFIER.inputs[:1])
    with plane.database.begin() as connection:
        keep_versions(connection, "credit", 1)
        keep_versions(connection, "narrow", 1, narrow)
    deploy(plane, ADA, "credit", ref(1))
    shadow(plane, ADA, "credit", ref(1, "narrow"))
    with pytest.raises(Invalid, match="cannot stand in") as caught:
        promote(plane, ADA, "credit")
    assert "--fallback" in str(caught.value.next_step)
    assert route_of(plane).champion == ref(1)


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
        (Right.DEPLOY, lambda plane, who: share(plane, who, "credit", ref(2), 0.5)),
        (Right.DEPLOY, lambda plane, who: limit(plane, who, "credit", warm=True)),
        (Right.DEPLOY, lambda plane, who: promote(plane, who, "credit")),
        (Right.PLUG, lambda plane, who: start_drill(plane, who, "credit")),
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
