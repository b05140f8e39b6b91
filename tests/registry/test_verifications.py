from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from tests.examples import NOON, keep_versions
from tsavo.registry import add_verification, list_verifications, versions_after
from tsavo.storage import Database
from tsavo.vocabulary import NotFound, Verification, VersionRef


def example(ref: VersionRef, **changes: Any) -> Verification:
    found = Verification(
        version=ref,
        time=NOON,
        by="ada",
        verdict="changed",
        summary="1 of 2 rows gives another answer",
        requirements=("scikit-learn==1.7.2",),
        rows=2,
        differing=1,
        changed=1,
        worst={"value": 0.5, "other": None},
        first=({"row": 1, "inputs": {"age": 3}, "stored": {"value": 1.0}, "now": {"value": 1.5}},),
        libraries={"scikit-learn": "1.7.2"},
        python="3.11.7",
    )
    return msgspec.structs.replace(found, **changes)


def test_a_verification_comes_back_as_it_was_newest_first(database: Database) -> None:
    with database.begin() as connection:
        one, other = keep_versions(connection, count=2)
        for number in range(3):
            add_verification(
                connection, example(one, time=NOON + timedelta(hours=number), summary=str(number))
            )
        add_verification(connection, example(other, verdict="same"))
    with database.read() as connection:
        page = list_verifications(connection, one)
        assert [found.summary for found in page.items] == ["2", "1", "0"]
        assert page.items[2] == example(one, summary="0")
        assert [found.summary for found in list_verifications(connection, one, offset=1, limit=1).items] == [
            "1"
        ]
        assert [found.fine for found in list_verifications(connection, other).items] == [True]


def test_a_verification_belongs_to_a_version_that_there_is(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.begin() as connection:
        add_verification(connection, example(VersionRef("nobody", 1)))


def test_versions_come_in_order_page_by_page_and_each_once(database: Database) -> None:
    with database.begin() as connection:
        expected = [ref for model in ("a", "b", "c-d") for ref in keep_versions(connection, model, count=11)]
    seen: list[VersionRef] = []
    after = None
    with database.read() as connection:
        while True:
            versions, before, total = versions_after(connection, after, limit=7)
            assert (before, total) == (len(seen), 33)
            if not versions:
                break
            seen += [version.ref for version in versions]
            after = seen[-1]
    # By number, not by its digits: 10 comes after 9.
    assert seen == expected


def test_a_page_goes_on_after_a_version_that_is_not_there(database: Database) -> None:
    with database.begin() as connection:
        keep_versions(connection, "a", count=2)
        keep_versions(connection, "b", count=2)
    with database.read() as connection:
        versions, before, total = versions_after(connection, VersionRef("a", 7))
        assert [str(version.ref) for version in versions] == ["b@1", "b@2"]
        assert (before, total) == (2, 4)
        versions, before, total = versions_after(connection, VersionRef("b", 1), model="b")
        assert [str(version.ref) for version in versions] == ["b@2"]
        assert (before, total) == (1, 2)
        with pytest.raises(NotFound):
            versions_after(connection, None, model="nobody")
