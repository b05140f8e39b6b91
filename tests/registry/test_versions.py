from __future__ import annotations

import threading

import msgspec
import pytest

from tests.examples import NOON, digest_of, example_version, keep_versions
from tsavo.registry import (
    add_model,
    add_version,
    environments_in_use,
    find_by_digest,
    get_version,
    list_versions,
    newest_version,
    version_digest,
)
from tsavo.storage import Database
from tsavo.vocabulary import (
    Conflict,
    Environment,
    Field,
    Golden,
    Hints,
    Model,
    NotFound,
    Reference,
    VersionRef,
)


def test_a_version_comes_back_as_it_was_kept(database: Database) -> None:
    with database.begin() as connection:
        keep_versions(connection, count=0)
        kept = add_version(connection, example_version())
    with database.read() as connection:
        assert get_version(connection, VersionRef("credit", 1)) == kept
        assert find_by_digest(connection, "credit", kept.digest) == kept
        assert find_by_digest(connection, "other", kept.digest) is None
        assert find_by_digest(connection, "credit", digest_of("unknown")) is None
    assert kept == msgspec.structs.replace(example_version(), number=1)


def test_numbers_grow_by_one_for_each_model(database: Database) -> None:
    with database.begin() as connection:
        assert [ref.number for ref in keep_versions(connection, "credit", 3)] == [1, 2, 3]
        assert [ref.number for ref in keep_versions(connection, "debit", 2)] == [1, 2]
        assert newest_version(connection, "credit").number == 3
        assert [one.number for one in list_versions(connection, "credit").items] == [3, 2, 1]


def test_what_is_not_there_is_named(database: Database) -> None:
    with database.begin() as connection:
        add_model(connection, Model("empty", owner="ada", created=NOON))
        with pytest.raises(NotFound):
            get_version(connection, VersionRef("credit", 7))
        for name in ("credit", "empty"):
            with pytest.raises(NotFound):
                newest_version(connection, name)


def test_the_same_content_is_not_kept_twice(database: Database) -> None:
    with database.begin() as connection:
        keep_versions(connection, count=0)
        add_version(connection, example_version())
    with pytest.raises(Conflict), database.begin() as connection:
        add_version(connection, example_version())
    with database.begin() as connection:
        # The number of the refused one is not lost either: its transaction left nothing.
        assert add_version(connection, example_version(words="two")).number == 2


def test_numbers_are_given_once_under_concurrent_writers(database: Database) -> None:
    with database.begin() as connection:
        keep_versions(connection, count=0)
    numbers: list[int] = []

    def write(writer: int) -> None:
        for turn in range(10):
            with database.begin() as connection:
                numbers.append(add_version(connection, example_version(words=f"{writer} {turn}")).number)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 41))


def test_the_digest_depends_on_every_part() -> None:
    signature = example_version().signature
    reference = Reference(digest_of("r"), rows=10, target="y")
    parts = {"source": "s", "artifact": "a", "signature": signature, "reference": reference}
    changed = [
        parts | {"source": "t"},
        parts | {"artifact": "b"},
        parts | {"signature": msgspec.structs.replace(signature, inputs=(Field("x", "int64"),))},
        parts | {"reference": None},
        parts | {"reference": Reference(digest_of("r"), rows=10)},
    ]
    digests = [version_digest(**one) for one in [parts, *changed]]  # type: ignore[arg-type]
    assert len(set(digests)) == len(digests)
    assert version_digest(**parts) == digests[0]  # type: ignore[arg-type]


def test_a_version_that_is_not_compiled_comes_back_whole_and_its_environment_is_in_use(
    database: Database,
) -> None:
    lock = Environment("e" * 64, "3.11", "f" * 64, ("six==1.17.0",))
    with database.begin() as connection:
        keep_versions(connection, count=0)
        assert environments_in_use(connection) == set()
        draft = msgspec.structs.replace(
            example_version(),
            runtime="python",
            reason="it is Python code of its author",
            environment=lock,
            golden=Golden("a" * 64, 200),
            hints=Hints(task="regression", units={"amount": "EUR"}),
        )
        kept = add_version(connection, draft)
        other = msgspec.structs.replace(draft, digest=digest_of("other"))
        add_version(connection, other)
        assert get_version(connection, kept.ref) == kept
        assert environments_in_use(connection) == {lock.digest}
