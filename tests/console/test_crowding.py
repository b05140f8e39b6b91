from __future__ import annotations

import threading

import pytest

from tsavo.console.crowding import Turnstile
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
            together.wait(timeout=10)
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
