"""Real worker processes with models that crash, hang, leak, shout, forge and attack; and their neighbours."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.runtimes.python_worker.models import (
    BAD,
    EXIT,
    FINE,
    SEGFAULT,
    SLEEP,
    Zoo,
    bare_environment,
    group_of,
    has_process,
    until,
    until_well,
    value,
    when_told,
    with_zoo,
)
from tsavo.vocabulary import Unavailable


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (EXIT, "ended by itself with code 3"),
        (SEGFAULT, "SIGSEGV"),
        (when_told("print('I am off'); __import__('os')._exit(4)"), "it said: I am off"),
    ],
)
def test_a_crash_is_contained_told_and_mended(tmp_path: Path, body: str, reason: str) -> None:
    async def test(zoo: Zoo) -> None:
        bad, good = zoo.model("bad", body), zoo.model("good")
        assert set(await asyncio.gather(value(bad), value(good))) == {3.0}
        shared = good.state.process
        assert bad.state.process == shared
        with pytest.raises(Unavailable, match=reason):
            await bad.answer(BAD)
        assert bad.state.name == "backing-off"
        assert reason in bad.state.reason
        assert bad.state.failures == 1
        # While it waits, callers are told at once, and the neighbour goes on.
        started = time.monotonic()
        with pytest.raises(Unavailable, match=reason) as caught:
            await bad.answer(FINE)
        assert time.monotonic() - started < 2
        assert caught.value.retry_after is not None
        assert await value(good) == 3.0
        await until_well(bad)
        assert bad.state.alone
        # The next crash takes nobody down.
        neighbour = good.state.process
        assert bad.state.process != neighbour
        with pytest.raises(Unavailable):
            await bad.answer(BAD)
        assert bad.state.failures == 2
        assert has_process(neighbour)
        assert good.state.process == neighbour

    with_zoo(tmp_path, test)


def test_neighbours_whose_requests_wait_are_answered_all_the_same(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        bad, good = zoo.model("bad", EXIT), zoo.model("good")
        await asyncio.gather(value(bad), value(good))
        crash = asyncio.ensure_future(bad.answer(BAD))
        await asyncio.sleep(0)
        assert await asyncio.gather(*(value(good) for _ in range(5))) == [3.0] * 5
        with pytest.raises(Unavailable, match="code 3"):
            await crash

    with_zoo(tmp_path, test)


def test_one_that_hangs_is_stopped_in_time_and_holds_up_nobody_for_long(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        bad, good = zoo.model("bad", SLEEP), zoo.model("good")
        await asyncio.gather(value(bad), value(good))
        first = bad.state.process
        started = time.monotonic()
        hanging = asyncio.ensure_future(bad.answer(BAD))
        await asyncio.sleep(0.05)
        assert await value(good) == 3.0
        assert not hanging.done(), "the neighbour waited until the hanging one was stopped"
        with pytest.raises(Unavailable, match="did not answer within 3 s"):
            await hanging
        assert 2.9 < time.monotonic() - started < 20
        assert bad.state.alone
        await until(lambda: not has_process(first))
        await until_well(bad)

    with_zoo(tmp_path, test, seconds=3.0)


def test_one_that_nobody_waits_for_any_more_is_stopped_as_well(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        bad = zoo.model("bad", SLEEP)
        await value(bad)
        process = bad.state.process
        hanging = asyncio.ensure_future(bad.answer(BAD))
        await asyncio.sleep(0.1)
        hanging.cancel()
        await until(lambda: bad.state.failures == 1)
        assert "did not answer" in bad.state.reason
        await until(lambda: not has_process(process))

    with_zoo(tmp_path, test, seconds=1.0)


@pytest.mark.parametrize(
    "body",
    [
        # A leak that stays below what the process could map; and more at once than there may be.
        when_told("kept.append(np.ones(20_000_000)) if len(kept) < 8 else __import__('time').sleep(0.1)"),
        when_told("kept.append(np.ones(1_000_000_000))"),
    ],
)
def test_one_that_eats_memory_is_stopped_and_the_innocent_are_not_blamed(tmp_path: Path, body: str) -> None:
    async def test(zoo: Zoo) -> None:
        good = zoo.model("good")
        bad = zoo.model("bad", body, before="import numpy as np\nkept = []")
        await asyncio.gather(value(bad), value(good))
        reason = ""
        for _ in range(40):
            try:
                await bad.answer(BAD)
            except Unavailable as error:
                reason = error.reason
                break
            assert await value(good) == 3.0
        assert reason == "bad@1 went beyond 500 MiB of memory and was stopped"
        assert await value(good) == 3.0
        assert (good.state.failures, good.state.alone, bad.state.alone) == (0, False, True)
        await until_well(bad)

    with_zoo(tmp_path, test, memory_mib=500)


def test_one_that_dies_between_requests_is_found_out(tmp_path: Path) -> None:
    dies = "import os, threading\nthreading.Timer(1.0, lambda: os._exit(5)).start()"

    async def test(zoo: Zoo) -> None:
        bad, good = zoo.model("bad", before=dies), zoo.model("good")
        await asyncio.gather(value(bad), value(good))
        await asyncio.sleep(1.3)
        # Nobody can say who it was, so each lives alone from now on.
        await asyncio.gather(value(bad), value(good))
        assert bad.state.process != good.state.process
        process = good.state.process
        await asyncio.sleep(1.3)
        assert "code 5" in bad.state.reason
        assert good.state.process == process
        assert good.state.failures == 0

    with_zoo(tmp_path, test)


@pytest.mark.parametrize(
    ("attack", "outcome"),
    [
        ("os.write(FD, b'x' * 100)", "no frame"),
        ("os.write(FD, b'TSF1' + struct.pack('<IQQ', 64, 1 << 62, NUMBER))", "larger than"),
        ("os.write(FD, b'TSF1' + struct.pack('<IQQ', 1 << 31, 0, NUMBER))", "larger than"),
        ("os.write(FD, b'TSF1' + struct.pack('<IQQ', 8, 0, NUMBER) + b'[[[[[[[[')", "no answer"),
        ("os.write(FD, frame({'arrays': [['value', 'float64', [1 << 50], 0]]}, b''))", "no answer"),
        ("os.write(FD, frame({'arrays': [['value', 'float64', [1], 0]]}, bytes(8)) * 2)", "no answer"),
        ("os.write(FD, frame({'arrays': []}, b'', 1))", None),
        ("os.close(FD); time.sleep(100)", "closed its connection"),
        ("os.fork()", None),
        ("[os.fork() for _ in range(50)]", None),
        ("os.kill(os.getppid(), signal.SIGUSR1)", None),
        ("os.kill(-1, signal.SIGUSR1)", None),
        ("sys.exit(0)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise Odd", "Odd"),
        ("sys.setrecursionlimit(10**9); (lambda f: f(f))(lambda f: f(f))", None),
    ],
)
def test_the_gateway_survives_what_a_model_does_to_it(
    tmp_path: Path, attack: str, outcome: str | None
) -> None:
    before = textwrap.dedent(
        """
        import json, os, signal, struct, sys, time
        FD = int(sys.argv[1])
        NUMBER = 6  # of the order that is answered: begin, load and ask the one, load and ask the other
        def frame(header, body, number=NUMBER):
            text = json.dumps(header).encode()
            text += b" " * (-len(text) % 8)
            return b"TSF1" + struct.pack("<IQQ", len(text), len(body), number) + text + body
        class Odd(Exception):
            def __str__(self):
                raise ValueError
        """
    )
    hit = []
    previous = signal.signal(signal.SIGUSR1, lambda *_: hit.append(1))

    async def test(zoo: Zoo) -> None:
        bad, good = zoo.model("bad", when_told(attack), before=before), zoo.model("good")
        await asyncio.gather(value(bad), value(good))
        leader = bad.state.process
        assert leader is not None
        try:
            await bad.answer(BAD)
        except Unavailable as error:
            assert outcome is None or outcome in error.reason, error.reason
        else:
            assert outcome is None
        assert await value(good) == 3.0
        if bad.state.failures:
            await until(lambda: group_of(leader) == [])

    try:
        with_zoo(tmp_path, test, seconds=3.0)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert hit == []


def test_a_shouting_model_answers_and_keeps_nobody_from_working(tmp_path: Path) -> None:
    shout = when_told("import sys; [sys.stderr.write('x' * 1_000_000) for _ in range(8)]")

    async def test(zoo: Zoo) -> None:
        loud = zoo.model("loud", shout)
        await value(loud)
        answer = asyncio.ensure_future(value(loud, BAD))
        ticks = 0
        while not answer.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert await answer == 1.0
        assert ticks > 10

    with_zoo(tmp_path, test)


def test_a_model_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    look = "import os; return {'value': np.full(len(columns['x']), float('hush' in str(os.environ)))}"

    async def test(zoo: Zoo) -> None:
        assert await value(zoo.model("spy", look, before="import numpy as np")) == 0.0

    with_zoo(tmp_path, test)


def test_a_worker_lives_in_an_environment_that_has_little(tmp_path: Path) -> None:
    """Nothing of ours comes along but this package: no onnxruntime, and what else lies beside it."""
    look = textwrap.dedent(
        """
        found = [name for name in ("onnxruntime", "pyarrow", "sqlalchemy") if importlib.util.find_spec(name)]
        print(found, tsavo.__file__, sys.path)
        return {"value": columns["x"] * 0 + len(found) + ("library" not in tsavo.__file__)}
        """
    )

    async def test(zoo: Zoo) -> None:
        model = zoo.model("lean", look, before="import importlib.util, sys, tsavo")
        assert await value(model) == 0.0

    with_zoo(tmp_path, test, python=bare_environment(tmp_path))


def test_workers_end_with_a_gateway_that_is_killed(tmp_path: Path) -> None:
    script = f"""
        import asyncio
        from pathlib import Path
        from tests.runtimes.python_worker.models import BAD, SLEEP, Zoo, pool, value

        async def main():
            zoo = Zoo(Path({str(tmp_path)!r}), pool(Path({str(tmp_path)!r}), seconds=1000.0))
            idle, busy = zoo.model("idle"), zoo.model("busy", SLEEP)
            await value(idle)
            await value(busy)
            task = asyncio.ensure_future(busy.answer(BAD))
            await asyncio.sleep(0.1)
            print(busy.state.process, flush=True)
            await task

        asyncio.run(main())
        """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ) as gateway:
        assert gateway.stdout is not None
        worker = int(gateway.stdout.readline())
        assert has_process(worker)
        gateway.kill()
    deadline = time.monotonic() + 60
    while has_process(worker):
        assert time.monotonic() < deadline, "the worker outlived its gateway"
        time.sleep(0.02)
