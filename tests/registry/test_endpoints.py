from __future__ import annotations

import threading

import msgspec
import pytest
import sqlalchemy as sa

from tests.examples import NOON, example_route
from tsavo.registry import (
    changed_routes,
    find_route,
    get_route,
    list_routes,
    newest_revision,
    route_history,
    save_route,
)
from tsavo.storage import Database
from tsavo.vocabulary import (
    Challenger,
    Conflict,
    ConstantFallback,
    Invalid,
    NotFound,
    Plug,
    VersionFallback,
    VersionRef,
)

FULL = example_route(
    challengers=(Challenger(VersionRef("credit", 3)),),
    fallback=(
        VersionFallback(VersionRef("credit", 2)),
        ConstantFallback({"label": 0, "probabilities": [0.5, 0.5]}),
    ),
    plug=Plug(by="ada", time=NOON, why="drill"),
    changed_by="ada",
    why="because",
)


def test_a_route_comes_back_as_it_was_kept(database: Database) -> None:
    with database.begin() as connection:
        saved = save_route(connection, FULL)
    with database.read() as connection:
        assert get_route(connection, "credit") == saved == msgspec.structs.replace(FULL, revision=1)
        assert find_route(connection, "debit") is None
        with pytest.raises(NotFound):
            get_route(connection, "debit")


def test_a_change_must_start_from_the_present_route(database: Database) -> None:
    with database.begin() as connection:
        first = save_route(connection, example_route())
        second = save_route(connection, msgspec.structs.replace(first, why="two"))
    for stale in (first, example_route()):
        with pytest.raises(Conflict, match="meanwhile"), database.begin() as connection:
            save_route(connection, stale)
    with database.read() as connection:
        assert get_route(connection, "credit") == second
        assert newest_revision(connection) == second.revision
        assert route_history(connection, "credit").total == 2


def test_of_many_who_change_the_same_route_one_wins(database: Database) -> None:
    with database.begin() as connection:
        route = save_route(connection, example_route())
    together = threading.Barrier(4)
    results: list[str] = []

    def change(name: str) -> None:
        together.wait()
        try:
            with database.begin() as connection:
                save_route(connection, msgspec.structs.replace(route, why=name))
            results.append(name)
        except Conflict:
            results.append("conflict")

    threads = [threading.Thread(target=change, args=(f"writer {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("conflict") == 3
    with database.read() as connection:
        assert get_route(connection, "credit").why in results


def test_no_reader_ever_misses_a_revision(database: Database) -> None:
    writers, turns = 4, 15
    seen: list[int] = []
    gaps: list[list[int]] = []
    finished = threading.Event()

    def write(writer: int) -> None:
        for turn in range(turns):
            with database.begin() as connection:
                save_route(connection, example_route(f"endpoint-{writer}-{turn}"))

    def follow() -> None:
        last = False
        while not last:
            last = finished.is_set()
            with database.read() as connection:
                new = [
                    route.revision for route in changed_routes(connection, seen[-1] if seen else 0, limit=7)
                ]
            # A revision that shows up later than a higher one would be missed for ever.
            if new and new != list(range(len(seen) + 1, len(seen) + 1 + len(new))):
                gaps.append(new)
            seen.extend(new)
            last = last and not new

    reader = threading.Thread(target=follow)
    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    reader.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finished.set()
    reader.join()
    assert gaps == []
    assert seen == list(range(1, writers * turns + 1))


def test_a_change_that_fails_takes_no_revision(database: Database) -> None:
    with pytest.raises(RuntimeError), database.begin() as connection:
        save_route(connection, example_route())
        raise RuntimeError
    with database.begin() as connection:
        assert save_route(connection, example_route()).revision == 1


def test_lists_are_filtered_and_sorted_by_the_database(database: Database) -> None:
    with database.begin() as connection:
        save_route(connection, example_route("c", champion=VersionRef("credit", 1)))
        save_route(connection, example_route("a", champion=VersionRef("debit", 1)))
        save_route(connection, example_route("b-b", plug=Plug("ada", NOON)))

    def names(**options: object) -> list[str]:
        with database.read() as connection:
            return [route.endpoint for route in list_routes(connection, **options).items]  # type: ignore[arg-type]

    assert names() == ["a", "b-b", "c"]
    assert names(order="newest") == ["b-b", "a", "c"]
    assert names(model="credit") == ["b-b", "c"]
    assert names(plugged=True) == ["b-b"]
    assert names(plugged=False) == ["a", "c"]
    assert names(search="b") == ["b-b"]
    assert names(search="_") == []
    assert names(offset=1, limit=1) == ["b-b"]


def test_the_filters_follow_a_changed_route(database: Database) -> None:
    with database.begin() as connection:
        route = save_route(connection, example_route())
        route = save_route(connection, msgspec.structs.replace(route, plug=Plug("ada", NOON)))
        assert list_routes(connection, plugged=True).total == 1
        route = save_route(
            connection, msgspec.structs.replace(route, plug=None, champion=VersionRef("debit", 1))
        )
        assert list_routes(connection, plugged=True).total == 0
        assert list_routes(connection, model="debit").total == 1
        assert [old.revision for old in route_history(connection, "credit").items] == [3, 2, 1]
        assert [new.revision for new in changed_routes(connection, 0)] == [3]
        assert changed_routes(connection, 3) == []


def test_a_bad_name_reaches_no_table(database: Database) -> None:
    with pytest.raises(Invalid), database.begin() as connection:
        save_route(connection, example_route("a/b"))
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM routes")).scalar_one() == 0
