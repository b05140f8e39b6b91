"""The fork server and its workers, as real processes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sklearn.linear_model import LinearRegression
from skops import io as skops_io

from tsavo.runtimes import PrepareJob, WorkerLimits
from tsavo.runtimes.jobs import WorkerAnswer
from tsavo.runtimes.orders import ANSWER, JOB, WorkerOrder
from tsavo.runtimes.starting import Ended, ForkServer, clean_environment, run_worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux only")


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    started = ForkServer()
    yield started
    started.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.skops"
    skops_io.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), path)
    return path


def _folder(tmp_path: Path, source: Path, name: str = "job", **limits: float) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    order = WorkerOrder(
        WorkerLimits(**limits),  # type: ignore[arg-type]
        (str(source),),
        prepare=PrepareJob(source, "skops" if source.suffix == ".skops" else "pickle", trusted=True),
    )
    (folder / JOB).write_bytes(msgspec.json.encode(order, enc_hook=str))
    return folder


def _slow(tmp_path: Path) -> Path:
    class Sleeps:
        def __reduce__(self) -> Any:
            return exec, ("open('asleep', 'w'); __import__('time').sleep(600)",)

    path = tmp_path / "slow.pkl"
    path.write_bytes(pickle.dumps(Sleeps()))
    return path


def _answer(folder: Path) -> WorkerAnswer:
    return msgspec.json.decode((folder / ANSWER).read_bytes(), type=WorkerAnswer)


def _wait(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _descendants(pid: int) -> list[int]:
    """Processes below `pid`, by what the kernel tells of parents."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found = [pid]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found[1:]


def _process(server: ForkServer) -> subprocess.Popen[bytes]:
    process = server._process
    assert process is not None
    return process


def test_a_copy_and_a_fresh_process_do_the_same(tmp_path: Path, source: Path, server: ForkServer) -> None:
    nobody = ForkServer()
    nobody._safe = False
    answers = []
    for name, used in (("warm", server), ("fresh", nobody)):
        folder = _folder(tmp_path, source, name)
        assert run_worker(folder, 60, server=used).code == 0
        answers.append(_answer(folder))
    warm, fresh = answers
    assert warm.error is None
    assert warm.signature == fresh.signature
    assert warm.libraries == fresh.libraries
    assert nobody._process is None
    assert len(_descendants(_process(server).pid)) == 1


def test_many_at_once_each_get_their_own_answer(tmp_path: Path, source: Path, server: ForkServer) -> None:
    folders = [_folder(tmp_path, source, f"job{at}") for at in range(8)]
    with ThreadPoolExecutor(4) as threads:
        ended = list(threads.map(lambda folder: run_worker(folder, 60, server=server), folders))
    assert {one.code for one in ended} == {0}
    assert all(_answer(folder).signature for folder in folders)


def test_one_that_takes_too_long_is_ended_and_others_go_on(
    tmp_path: Path, source: Path, server: ForkServer
) -> None:
    slow = _folder(tmp_path, _slow(tmp_path), "slow")
    ended: list[Ended] = []
    waiting = threading.Thread(target=lambda: ended.append(run_worker(slow, 8, server=server)))
    waiting.start()
    _wait((slow / "asleep").exists)
    assert run_worker(_folder(tmp_path, source), 60, server=server).code == 0
    waiting.join()
    assert ended[0].code is None
    _wait(lambda: len(_descendants(_process(server).pid)) == 1)


def test_a_server_that_was_killed_takes_its_copies_along_and_is_replaced(
    tmp_path: Path, source: Path
) -> None:
    server = ForkServer()
    try:
        slow = _folder(tmp_path, _slow(tmp_path), "slow")
        ended: list[Ended] = []
        waiting = threading.Thread(target=lambda: ended.append(run_worker(slow, 60, server=server)))
        waiting.start()
        _wait((slow / "asleep").exists)
        first = _process(server)
        family = _descendants(first.pid)
        for pid in family[:1]:
            os.kill(pid, signal.SIGKILL)
        waiting.join()
        assert ended[0].code == -signal.SIGKILL
        _wait(lambda: not any(_alive(pid) for pid in family))
        assert run_worker(_folder(tmp_path, source), 60, server=server).code == 0
        assert _process(server).pid != first.pid
    finally:
        server.close()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_it_ends_when_nobody_wants_anything_and_comes_back(tmp_path: Path, source: Path) -> None:
    server = ForkServer(idle_seconds=0.05)
    try:
        assert server.warm()
        first = _process(server)
        _wait(lambda: first.poll() is not None)
        assert first.returncode == 0
        assert run_worker(_folder(tmp_path, source), 60, server=server).code == 0
    finally:
        server.close()


def test_it_ends_with_whoever_started_it() -> None:
    program = """
import os, sys, time
from tsavo.runtimes.starting import ForkServer
server = ForkServer()
server.warm()
print(server._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL
    pid = int(ended.stdout)
    _wait(lambda: not _alive(pid))


def test_the_environment_is_an_allow_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TSAVO_SECRET", "AWS_SECRET_ACCESS_KEY", "PYTHONSTARTUP", "LD_PRELOAD", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "x")
    found = clean_environment(tmp_path)
    assert "x" not in found.values()
    assert found["HOME"] == found["TMPDIR"] == str(tmp_path)
