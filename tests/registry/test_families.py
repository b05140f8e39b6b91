from __future__ import annotations

import threading

import msgspec
import pytest
import sqlalchemy as sa

from tests.examples import NOON, example_route
from tsavo.registry import (
    changed_members,
    changed_routes,
    count_members,
    families_of,
    find_members,
    get_member,
    list_members,
    member_versions,
    newest_revision,
    save_members,
    save_route,
)
from tsavo.storage import Connection, Database
from tsavo.vocabulary import Conflict, Invalid, Member, NotFound, Plug, VersionRef


def member(segment: str, number: int | None = 1, *, revision: int = 0, endpoint: str = "credit") -> Member:
    version = None if number is None else VersionRef("credit", number)
    return Member(endpoint, segment, version, revision, changed=NOON, changed_by="ada")


@pytest.fixture(autouse=True)
def families(database: Database) -> None:
    """Two endpoints, so that the registry is at revision 2."""
    with database.begin() as connection:
        save_route(connection, example_route("credit"))
        save_route(connection, example_route("debit"))


def segments_of(connection: Connection, **options: object) -> list[str]:
    page = list_members(connection, "credit", **options)  # type: ignore[arg-type]
    return [one.segment for one in page.items]


def test_a_member_comes_back_as_it_was_kept(database: Database) -> None:
    full = Member("credit", "voi", VersionRef("credit", 3), 0, Plug("ada", NOON, "drill"), NOON, "ada", "so")
    with database.begin() as connection:
        saved = save_members(connection, "credit", [full])
    with database.read() as connection:
        assert saved == [msgspec.structs.replace(full, revision=3)]
        assert get_member(connection, "credit", "voi") == saved[0]
        for endpoint, segment in (("credit", "VOI"), ("debit", "voi")):
            with pytest.raises(NotFound):
                get_member(connection, endpoint, segment)


def test_each_member_has_a_revision_of_its_own_in_one_order_with_routes(database: Database) -> None:
    with database.begin() as connection:
        save_members(connection, "credit", [member("a"), member("b"), member("c")])
        save_route(connection, example_route("later"))
        save_members(connection, "debit", [member("a")])
    with database.read() as connection:
        assert [one.revision for one in changed_members(connection, 0)] == [3, 4, 5, 7]
        assert [one.segment for one in changed_members(connection, 3, limit=2)] == ["b", "c"]
        assert [route.revision for route in changed_routes(connection, 2)] == [6]
        assert newest_revision(connection) == 7
        assert changed_members(connection, 7) == []


def test_a_segment_taken_out_is_told_to_followers_and_listed_no_more(database: Database) -> None:
    with database.begin() as connection:
        first = save_members(connection, "credit", [member("a"), member("b")])
        save_members(connection, "credit", [msgspec.structs.replace(first[0], version=None)])
    with database.read() as connection:
        assert segments_of(connection) == ["b"]
        assert count_members(connection, "credit") == 1
        assert [(one.segment, one.version) for one in changed_members(connection, 4)] == [("a", None)]
        with pytest.raises(NotFound):
            get_member(connection, "credit", "a")
        assert find_members(connection, "credit", ["a", "x"]).keys() == {"a"}


def test_a_change_must_start_from_the_present_member(database: Database) -> None:
    with database.begin() as connection:
        (first,) = save_members(connection, "credit", [member("a")])
        (second,) = save_members(connection, "credit", [msgspec.structs.replace(first, why="two")])
    for stale in (first, member("a")):
        with pytest.raises(Conflict, match="meanwhile") as caught, database.begin() as connection:
            save_members(connection, "credit", [member("new"), stale])
        assert caught.value.field == "segments.a"
    with pytest.raises(Conflict), database.begin() as connection:
        save_members(connection, "credit", [member("b"), member("b")])
    with database.read() as connection:
        assert changed_members(connection, 0) == [second]
        assert newest_revision(connection) == second.revision


def test_of_many_who_change_the_same_segment_one_wins(database: Database) -> None:
    with database.begin() as connection:
        (first,) = save_members(connection, "credit", [member("a")])
    together = threading.Barrier(4)
    results: list[str] = []

    def change(name: str) -> None:
        together.wait()
        try:
            with database.begin() as connection:
                save_members(connection, "credit", [msgspec.structs.replace(first, why=name)])
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
        assert get_member(connection, "credit", "a").why in results


def test_a_reader_of_pages_sees_every_member_that_several_write_at_once(database: Database) -> None:
    writers, turns, at_once = 3, 6, 4
    seen: list[Member] = []
    finished = threading.Event()

    def write(writer: int) -> None:
        for turn in range(turns):
            with database.begin() as connection:
                changes = [member(f"{writer}-{turn}-{one}") for one in range(at_once)]
                save_members(connection, "credit", changes)

    def follow() -> None:
        last = False
        while not last:
            last = finished.is_set()
            with database.read() as connection:
                new = changed_members(connection, seen[-1].revision if seen else 0, limit=5)
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
    assert [one.revision for one in seen] == list(range(3, 3 + writers * turns * at_once))
    assert len({one.segment for one in seen}) == writers * turns * at_once


def test_lists_are_searched_and_cut_by_the_database(database: Database) -> None:
    with database.begin() as connection:
        save_members(connection, "credit", [member(name) for name in ("voi", "nairobi", "a_b", "mombasa")])
        save_members(connection, "debit", [member("voi")])
        assert segments_of(connection) == ["a_b", "mombasa", "nairobi", "voi"]
        assert segments_of(connection, search="o") == ["mombasa", "nairobi", "voi"]
        assert segments_of(connection, search="_") == ["a_b"]
        page = list_members(connection, "credit", offset=1, limit=2)
        assert ([one.segment for one in page.items], page.total) == (["mombasa", "nairobi"], 4)
        with pytest.raises(Invalid):
            list_members(connection, "credit", limit=100_000)


def test_the_versions_of_a_family_are_told_once_each(database: Database) -> None:
    with database.begin() as connection:
        save_members(connection, "credit", [member("b", 1), member("a", 1), member("c", 2)])
        (gone,) = save_members(connection, "credit", [member("d", 3)])
        save_members(connection, "credit", [msgspec.structs.replace(gone, version=None)])
        save_members(connection, "debit", [member("x", 9)])
        assert member_versions(connection, "credit") == {
            VersionRef("credit", 1): "a",
            VersionRef("credit", 2): "c",
        }


def test_the_families_of_a_model(database: Database) -> None:
    with database.begin() as connection:
        save_members(connection, "credit", [member("a", 1), member("b", 2)])
        save_members(connection, "debit", [member("a", 1)])
        save_members(connection, "debit", [Member("debit", "b", VersionRef("other", 1), 0)])
        assert families_of(connection, "credit") == {"credit": 2, "debit": 1}
        assert families_of(connection, "nobody") == {}


def test_more_members_than_one_statement_can_name(database: Database) -> None:
    many = 12_000
    with database.begin() as connection:
        first = save_members(connection, "credit", [member(str(number)) for number in range(many)])
        second = save_members(
            connection, "credit", [msgspec.structs.replace(one, version=VersionRef("x", 2)) for one in first]
        )
    with database.read() as connection:
        assert count_members(connection, "credit") == many
        assert changed_members(connection, 0, limit=many + 1) == second
        found = find_members(connection, "credit", [str(number) for number in range(many)])
    assert found == {one.segment: one for one in second}


def test_no_members_without_an_endpoint(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.begin() as connection:
        save_members(connection, "nowhere", [member("a")])
    with database.begin() as connection:
        assert save_members(connection, "credit", []) == []
        assert newest_revision(connection) == 2
