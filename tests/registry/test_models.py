from __future__ import annotations

import pytest

from tests.examples import NOON
from tsavo.registry import MAX_LIMIT, add_model, find_model, get_model, list_models, update_brief
from tsavo.storage import Database
from tsavo.vocabulary import Brief, Conflict, Invalid, Model, NotFound


def model(name: str) -> Model:
    return Model(name, owner="ada", created=NOON, brief=Brief(problem="late?", value="50 a day"))


def test_a_model_comes_back_as_it_was_kept(database: Database) -> None:
    with database.begin() as connection:
        add_model(connection, model("credit"))
    with database.read() as connection:
        assert get_model(connection, "credit") == model("credit")
        assert find_model(connection, "debit") is None
        with pytest.raises(NotFound) as caught:
            get_model(connection, "debit")
    assert caught.value.found == "debit"


def test_a_name_is_given_once(database: Database) -> None:
    with database.begin() as connection:
        add_model(connection, model("credit"))
    with pytest.raises(Conflict) as caught, database.begin() as connection:
        add_model(connection, model("credit"))
    assert caught.value.found == "credit"


def test_a_bad_name_reaches_no_table(database: Database) -> None:
    with pytest.raises(Invalid), database.begin() as connection:
        add_model(connection, model("../credit"))


def test_the_brief_can_be_rewritten(database: Database) -> None:
    with database.begin() as connection:
        add_model(connection, model("credit"))
        update_brief(connection, "credit", Brief(problem="other"))
    with database.read() as connection:
        assert get_model(connection, "credit").brief == Brief(problem="other")


def test_pages_are_cut_by_the_database_and_join_up(database: Database) -> None:
    names = [f"model-{number:03}" for number in range(25)]
    with database.begin() as connection:
        for name in reversed(names):
            add_model(connection, model(name))
    with database.read() as connection:
        found, offset = [], 0
        while True:
            page = list_models(connection, offset=offset, limit=10)
            assert (page.total, page.offset, page.limit) == (25, offset, 10)
            found += [one.name for one in page.items]
            if page.next_offset is None:
                break
            offset = page.next_offset
        assert found == names
        beyond = list_models(connection, offset=100)
        assert (beyond.items, beyond.total, beyond.next_offset) == ((), 25, None)


def test_a_search_takes_its_words_literally(database: Database) -> None:
    with database.begin() as connection:
        for name in ("a_b", "axb", "a.b"):
            add_model(connection, model(name))
    with database.read() as connection:
        assert [one.name for one in list_models(connection, search="a_b").items] == ["a_b"]
        assert list_models(connection, search="%").total == 0


@pytest.mark.parametrize(("offset", "limit"), [(-1, 10), (0, 0), (0, MAX_LIMIT + 1)])
def test_impossible_pages_are_refused(database: Database, offset: int, limit: int) -> None:
    with database.read() as connection, pytest.raises(Invalid):
        list_models(connection, offset=offset, limit=limit)
