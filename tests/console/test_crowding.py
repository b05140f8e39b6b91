from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tsavo.console.crowding import Line, Turnstile
from tsavo.vocabulary import Overloaded


def test_no_more_than_allowed_are_in_at_once() -> None:
    door = Turnstile("queries", most=3, patience=30.0)
    inside, most = 0, 0
    lock = threading.Lock()
    together = threading.Barrier(3)

    def visit() -> None:
        nonlocal inside, most
        with door.turn():
            with lock:
                inside += 1
                most = max(most, inside)
            together.wait(timeout=60)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=visit) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 3)


def test_who_waited_too_long_is_told_when_to_come_back() -> None:
    door = Turnstile("queries", most=1, patience=0.0)
    with door.turn(), pytest.raises(Overloaded) as caught, door.turn():
        pass
    assert caught.value.retry_after == 5
    assert "queries" in str(caught.value)


def test_a_failure_inside_gives_the_place_back() -> None:
    door = Turnstile("queries", most=1, patience=0.0)
    for _ in range(3):
        with pytest.raises(ValueError, match="boom"), door.turn():
            raise ValueError("boom")


def test_a_line_runs_a_few_at_a_time_and_holds_no_thread_for_those_that_wait() -> None:
    line = Line("registrations", most=2, waiting=50)
    busy, most, lock = 0, 0, threading.Lock()

    def work() -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.005)
        with lock:
            busy -= 1
        return threading.active_count()

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(line.run(work) for _ in range(40)))

    before = threading.active_count()
    threads = asyncio.run(all_of_them())
    assert len(threads) == 40
    assert most == 2
    assert max(threads) <= before + 2


def test_a_full_line_refuses_and_has_places_again_later() -> None:
    line = Line("registrations", most=1, waiting=2)

    async def too_many() -> list[int | BaseException]:
        return await asyncio.gather(*(line.run(lambda: 1) for _ in range(3)), return_exceptions=True)

    one, other, third = asyncio.run(too_many())
    assert (one, other) == (1, 1)
    assert isinstance(third, Overloaded)
    assert third.retry_after == 60
    assert asyncio.run(line.run(lambda: 2)) == 2
