"""Outcomes that wait for their decisions, in the registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from tsavo.registry import (
    count_waiting,
    drop_waiting,
    endpoints_waiting,
    keep_waiting,
    list_waiting,
    next_waiting,
)
from tsavo.storage import Database
from tsavo.vocabulary import WaitingOutcome

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def waiting(value: Any, outcome: Any = 1, endpoint: str = "credit") -> WaitingOutcome:
    return WaitingOutcome(endpoint, "customer", value, outcome, NOON, None, False, None, NOON, "ann")


def test_what_is_kept_comes_back_as_it_was_in_pieces(database: Database) -> None:
    kept = [waiting(value) for value in ("a", 7, 1.5, True, "7")] + [waiting(n) for n in range(1000, 1400)]
    with database.begin() as connection:
        keep_waiting(connection, [*kept, waiting("a", endpoint="sales")])
        assert endpoints_waiting(connection) == {"credit", "sales"}
        assert count_waiting(connection, "credit") == list_waiting(connection, "credit").total == len(kept)
        found: list[WaitingOutcome] = []
        after = ""
        while True:
            piece, after = next_waiting(connection, "credit", after, 100)
            found.extend(piece)
            if not after:
                break
    assert sorted(found, key=repr) == sorted(kept, key=repr)


def test_the_same_sent_again_takes_the_place_of_the_first(database: Database) -> None:
    later = replace(waiting("a", outcome=0), recorded=NOON + timedelta(minutes=1))
    with database.begin() as connection:
        keep_waiting(connection, [waiting("a")])
        keep_waiting(connection, [later])
        assert list_waiting(connection, "credit").items == (later,)
        # What was read before it was replaced does not take the new one away.
        drop_waiting(connection, [waiting("a")])
        assert list_waiting(connection, "credit").items == (later,)
        drop_waiting(connection, [later])
        assert endpoints_waiting(connection) == set()
