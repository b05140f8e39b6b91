from __future__ import annotations

import msgspec

from tests.examples import NOON
from tsavo.console.changes import Change, changes
from tsavo.vocabulary import Plug, Route, VersionFallback, VersionRef


def as_json(route: Route) -> object:
    return msgspec.to_builtins(route)


ROUTE = Route("credit", 1, VersionRef("credit", 1), changed=NOON, changed_by="amina")


def test_a_new_champion_is_one_change_and_bookkeeping_is_none() -> None:
    after = msgspec.structs.replace(
        ROUTE, revision=2, champion=VersionRef("credit", 2), changed_by="baraka", why="better"
    )
    assert changes(as_json(ROUTE), as_json(after)) == [Change("champion", "credit@1", "credit@2")]


def test_what_comes_and_goes_is_shown_once() -> None:
    plugged = msgspec.structs.replace(ROUTE, plug=Plug(by="amina", time=NOON, why="drill"))
    appeared = changes(as_json(ROUTE), as_json(plugged))
    assert {change.field for change in appeared} == {"plug.by", "plug.time"}
    assert all(change.before is None for change in appeared)
    gone = changes(as_json(plugged), as_json(ROUTE))
    assert [(change.before, change.after) for change in gone] == [
        (change.after, change.before) for change in appeared
    ]


def test_steps_of_a_chain_are_told_apart() -> None:
    chain = tuple(VersionFallback(VersionRef("credit", number)) for number in (3, 4))
    after = msgspec.structs.replace(ROUTE, fallback=chain)
    told = {change.field: change.after for change in changes(as_json(ROUTE), as_json(after))}
    assert told["fallback[0].version"] == "credit@3"
    assert told["fallback[1].version"] == "credit@4"


def test_from_nothing_and_nothing_changed() -> None:
    assert changes(None, None) == []
    assert changes(as_json(ROUTE), as_json(ROUTE)) == []
    assert ("champion", None, "credit@1") in changes(None, as_json(ROUTE))


def test_a_change_of_everything_is_cut() -> None:
    assert len(changes({}, {f"k{number:03}": number for number in range(100)})) == 12
