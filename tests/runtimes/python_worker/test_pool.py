"""Who lives where in the pool, when processes start and stop, and who has to wait."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from tests.runtimes.python_worker.models import (
    BAD,
    FINE,
    SLEEP,
    Zoo,
    has_process,
    rows,
    until,
    value,
    with_zoo,
)
from tsavo.vocabulary import Overloaded, Unavailable


def test_versions_of_one_environment_share_a_process_up_to_a_number(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        models = [zoo.model(f"m{number}") for number in range(3)]
        assert [model.state.name for model in models] == ["idle"] * 3
        assert await asyncio.gather(*map(value, models)) == [3.0] * 3
        states = [model.state for model in models]
        assert {state.name for state in states} == {"ready"}
        assert states[0].process == states[1].process != states[2].process

    with_zoo(tmp_path, test, models=2)


def test_a_new_version_does_not_move_in_with_one_that_is_in_use(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        present, new, third = zoo.model("present"), zoo.model("new"), zoo.model("third")
        await value(present)
        await value(new)
        assert new.state.process != present.state.process
        # Half of the processes that there may be are in use: now they share.
        await value(third)
        assert third.state.process in {new.state.process, present.state.process}

    with_zoo(tmp_path, test, processes=4)


def test_an_idle_process_stops_and_comes_back(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        model = zoo.model("m")
        await value(model)
        process = model.state.process
        await until(lambda: model.state.name == "idle")
        assert (model.state.name, model.state.failures) == ("idle", 0)
        await until(lambda: not has_process(process))
        assert await value(model) == 3.0

    with_zoo(tmp_path, test, idle_seconds=0.4)


def test_with_all_processes_in_use_the_least_used_idle_one_makes_room(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        one, two, three = (zoo.model(f"m{number}", SLEEP) for number in range(3))
        await value(one)
        await value(two)
        await value(three)
        assert [model.state.name for model in (one, two, three)] == ["idle", "ready", "ready"]
        hanging = [asyncio.ensure_future(model.answer(BAD)) for model in (two, three)]
        await asyncio.sleep(0.1)
        with pytest.raises(Overloaded, match="all 2 worker processes are busy"):
            await value(one)
        for task in hanging:
            task.cancel()

    with_zoo(tmp_path, test, models=1, processes=2, seconds=2.0)


def test_no_more_wait_than_may(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        model = zoo.model("slow", "__import__('time').sleep(0.05)\nreturn {'value': columns['x']}")
        await value(model)
        answers = await asyncio.gather(*(value(model) for _ in range(12)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Overloaded)]
        assert len(refused) == 12 - 5
        assert refused[0].retry_after
        assert answers.count(1.0) == 5

    with_zoo(tmp_path, test, waiting=5)


def test_one_that_cannot_be_loaded_says_why_and_is_tried_ever_less_often(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        broken, good = zoo.model("broken", before="import no_such_library"), zoo.model("good")
        await asyncio.gather(value(good), broken.warm())
        await until(lambda: broken.state.name != "backing-off")
        pauses = []
        for _ in range(2):
            await until(lambda: broken.state.name != "backing-off")
            with pytest.raises(Unavailable, match="no_such_library"):
                await broken.answer(FINE)
            pauses.append(broken.state.retry_after or 0.0)
        assert broken.state.failures == 3
        assert pauses == pytest.approx([1.0, 2.0], abs=0.1)
        # It broke nothing, so nobody has to move.
        assert not broken.state.alone
        assert await value(good) == 3.0

    with_zoo(tmp_path, test)


def test_a_model_that_takes_too_long_to_load_is_stopped(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        slow = zoo.model("slow", before="import time\ntime.sleep(100)")
        with pytest.raises(Unavailable, match="is still being loaded"):
            await slow.answer(FINE)
        assert slow.state.name == "loading"
        await until(lambda: slow.state.failures == 1)
        assert "could not be loaded within 2.5 s" in slow.state.reason

    with_zoo(tmp_path, test, seconds=1.0, start_seconds=2.5)


def test_after_a_failure_one_request_tries_for_all(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        bad = zoo.model("bad", SLEEP)
        await value(bad)
        with pytest.raises(Unavailable):
            await bad.answer(BAD)
        await until(lambda: bad.state.name != "backing-off")
        trial = asyncio.ensure_future(value(bad))
        await asyncio.sleep(0)
        started = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer"):
            await bad.answer(FINE)
        assert time.monotonic() - started < 2
        assert await trial == 3.0
        assert set(await asyncio.gather(value(bad), value(bad))) == {3.0}

    with_zoo(tmp_path, test, seconds=1.0)


def test_a_released_version_finishes_what_was_begun_and_goes(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        slow = zoo.model("slow", "__import__('time').sleep(0.2)\nreturn {'value': columns['x']}")
        other = zoo.model("other")
        await asyncio.gather(value(slow), value(other))
        process = other.state.process
        begun = [asyncio.ensure_future(value(slow)) for _ in range(2)]
        await asyncio.sleep(0.05)
        slow.release()
        assert await asyncio.gather(*begun) == [1.0, 1.0]
        assert await value(other) == 3.0
        assert other.state.process == process
        other.release()
        await until(lambda: not has_process(process))

    with_zoo(tmp_path, test)


def test_closing_ends_every_process_and_every_wait(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        bad = zoo.model("bad", SLEEP)
        await value(bad)
        process = bad.state.process
        waiting = [asyncio.ensure_future(bad.answer(BAD)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await zoo.workers.close()
        for answer in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(answer, Unavailable)
        assert not has_process(process)

    with_zoo(tmp_path, test)


def test_many_rows_come_back_in_order(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        model = zoo.model("m")
        matrix = np.random.default_rng(0).normal(size=(50_000, 2))
        sizes = (1, 7, 50_000)
        answers = await asyncio.gather(*(model.answer(rows(*matrix[:size])) for size in sizes))
        for size, (answer,) in zip(sizes, answers, strict=True):
            assert answer.tobytes() == (matrix[:size, 0] + matrix[:size, 1]).tobytes()

    with_zoo(tmp_path, test)
