"""A stranger's query takes neither the memory nor the time of who asks, and nothing of it is left."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lake.scene import Scene, decision
from tsavo.lake import Allowance, check_statement
from tsavo.lake.query_process import HEADER, receive, send
from tsavo.lake.query_processes import processes
from tsavo.vocabulary import Invalid, TooLarge, Unavailable

HUGE = "SELECT length(repeat('x', 3000000000))"
ENDLESS = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t"


def descendants(root: int) -> set[int]:
    """Processes that `root` started, and those that these did, as the kernel tells."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(entry.name)] = int(parent)
    found: set[int] = set()
    while new := {pid for pid, parent in parents.items() if parent in found | {root}} - found:
        found |= new
    return found


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it becomes so in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def no_spare() -> Iterator[None]:
    """Nothing of earlier queries is left."""
    processes().close()
    processes.cache_clear()
    yield
    processes().close()
    processes.cache_clear()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (HUGE, "needs more memory than its 256 MiB"),
        ("SELECT max(length(repeat('x', 2000000000) || range)) FROM range(3)", "needs more memory"),
        ("SELECT string_agg(repeat('x', 100000000)) FROM range(30)", "needs more memory"),
        ("SELECT len(range(500000000))", "needs more memory|took too long"),
        ("SELECT length(lpad('x', 2000000000, 'y'))", "needs more memory|took too long"),
        ("SELECT " + "(" * 200_000, "needs more memory|took too long|before it had answered"),
    ],
    ids=range(6),
)
def test_one_value_without_measure_is_refused(scene: Scene, query: str, words: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Invalid, match=words):
        scene.lake.sql(query, memory_mib=256, seconds=5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10
    assert scene.rows("SELECT count(*) FROM decisions") == [(0,)]


@pytest.mark.usefixtures("no_spare")
@pytest.mark.parametrize("query", [HUGE, ENDLESS], ids=["not interruptible", "endless"])
def test_a_query_is_gone_when_its_time_is_over(scene: Scene, query: str) -> None:
    scene.lake.sql("SELECT 1")
    new: set[int] = set()
    watching = threading.Thread(target=_note_what_is_new, args=(descendants(os.getpid()), new))
    watching.start()
    with pytest.raises(Invalid, match="took too long"):
        scene.lake.sql(query, memory_mib=8192, seconds=0.5)
    watching.join()
    assert len(new) == 1
    # The kernel ends it after six seconds of processor in any case; whoever waited does not leave it to that.
    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in new), seconds=4)


def _note_what_is_new(idle: set[int], new: set[int]) -> None:
    while not new:
        new |= descendants(os.getpid()) - idle


def _busy() -> int:
    """Processes below this one that have taken a second of processor."""
    ticks = os.sysconf("SC_CLK_TCK")
    before = {pid: _ticks(pid) for pid in descendants(os.getpid())}
    time.sleep(0.3)
    return sum(_ticks(pid) - spent > 0.2 * ticks for pid, spent in before.items())


def _ticks(pid: int) -> int:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(words[11]) + int(words[12])


def test_a_text_that_takes_a_parser_minutes_is_refused_when_it_is_only_looked_at() -> None:
    with pytest.raises(Invalid):
        check_statement("SELECT " + "(" * 50_000)


def test_a_row_and_an_answer_have_a_size(scene: Scene) -> None:
    with pytest.raises(TooLarge, match="a row of the answer"):
        scene.lake.sql("SELECT repeat('x', 80000000)")
    # What DuckDB itself needs for such rows is a few hundred MiB.
    large = "SELECT repeat('x', 10000) || range FROM range(90000)"
    with pytest.raises(TooLarge, match="more memory than the query may take"):
        scene.lake.sql(large, rows=90_000, memory_mib=700)
    # Batch by batch it is no more than any other.
    with scene.lake.ask(large, Allowance(rows=90_000, memory_mib=700)) as answer:
        assert sum(batch.num_rows for batch in answer) == 90_000


@pytest.mark.usefixtures("no_spare")
def test_a_process_that_is_killed_is_a_refusal_and_the_next_query_is_answered(scene: Scene) -> None:
    scene.lake.sql("SELECT 1")
    idle = descendants(os.getpid())
    timer = threading.Thread(target=_kill_what_is_new, args=(idle,))
    timer.start()
    with pytest.raises(Invalid, match=r"process was ended by signal 9 before it had answered"):
        scene.lake.sql(ENDLESS)
    timer.join()
    assert scene.rows("SELECT 1") == [(1,)]
    # The warm process, and with it all that is ready.
    for pid in descendants(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert scene.rows("SELECT 2") == [(2,)]


def _kill_what_is_new(idle: set[int]) -> None:
    new: set[int] = set()
    _note_what_is_new(idle, new)
    for pid in new:
        os.kill(pid, signal.SIGKILL)


ASKING = """
import sys
from pathlib import Path
from tsavo.lake import Lake
from tsavo.lake.query_process import HEADER, receive, send
from tsavo.lake.query_processes import processes

processes()._server._safe = sys.argv[3] == "copied"
home = Path(sys.argv[1])
lake = Lake(home / "lake", home / "journal", None)
for turn in range(3):
    lake.sql("SELECT 1")
print("ready", flush=True)
lake.sql(sys.argv[2], seconds=300)
"""


@pytest.mark.parametrize("made", ["copied", "afresh"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_who_asked(scene: Scene, number: signal.Signals, made: str) -> None:
    words = [sys.executable, "-c", ASKING, str(scene.folder), ENDLESS, made]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(1)
        family = descendants(process.pid)
        process.send_signal(number)
        process.wait()
    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


def test_a_frame_that_is_too_large_is_refused_before_it_is_taken() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(theirs, b"B", b"12345")
        assert receive(ours, 5) == (b"B", bytearray(b"12345"))
        theirs.sendall(HEADER.pack(b"B", 1 << 40))
        with pytest.raises(OverflowError):
            receive(ours, 1 << 20)
        theirs.close()
        assert receive(ours, 5) is None


def test_many_questions_at_once_each_get_their_own_answer(scene: Scene) -> None:
    scene.write(*[decision(number) for number in range(5)])
    scene.ship()
    scene.write(decision(5))

    def ask(number: int) -> list[dict[str, int]]:
        query = f"SELECT {number} AS n, count(*) AS all FROM decisions".replace(" all ", ' "all" ')
        found: list[dict[str, int]] = scene.lake.sql(query).to_pylist()
        return found

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(ask, range(24))) == [[{"n": number, "all": 6}] for number in range(24)]


@pytest.mark.usefixtures("no_spare")
def test_where_no_process_can_be_copied_each_query_starts_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes()._server, "_safe", False)
    scene.write(decision(1))
    scene.ship()
    assert scene.rows('SELECT count(*), max(age) FROM "credit-risk"') == [(1, 1.0)]
    with pytest.raises(Invalid, match="more memory"):
        scene.lake.sql(HUGE, memory_mib=100)
    with pytest.raises(Invalid, match="took too long"):
        scene.lake.sql(ENDLESS, seconds=0.5)
    assert eventually(lambda: _busy() == 0)


def test_a_lake_that_took_the_place_of_another_is_read(scene: Scene) -> None:
    scene.write(decision(1))
    scene.ship()
    for _ in range(3):
        assert scene.rows("SELECT count(*) FROM decisions") == [(1,)]
    shutil.copytree(scene.root, scene.folder / "copy")
    shutil.rmtree(scene.root)
    (scene.folder / "copy").rename(scene.root)
    assert scene.rows('SELECT count(age) FROM "credit-risk"') == [(1,)]


def test_a_query_reads_the_files_of_its_views_and_no_others(scene: Scene) -> None:
    scene.write(decision(1), decision(1, endpoint="sales"))
    scene.ship()
    (other,) = (scene.root / "decisions" / "credit-risk").glob("*.parquet")
    for path in (str(other), str(other.relative_to(scene.root)), f"./{other.relative_to(scene.root)}"):
        for function in ("read_parquet", "read_blob", "parquet_metadata"):
            with pytest.raises(Invalid, match="nothing but the lake"):
                scene.lake.sql(f"SELECT * FROM {function}('{path}'), (SELECT count(*) FROM sales)")
    assert scene.rows("SELECT count(*) FROM sales") == [(1,)]


def test_a_home_in_a_folder_with_any_name_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "it's a home* {x} q? 100%"
    folder.mkdir()
    scene = Scene(folder)
    scene.write(decision(1), decision(2))
    scene.ship()
    assert scene.rows('SELECT count(*), count(age) FROM "credit-risk"') == [(2, 2)]
    assert scene.rows("SELECT count(*) FROM decisions WHERE time > '2000-01-01'") == [(2,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only the machine's root may give files away")
def test_root_asks_another_users_lake_as_that_user(scene: Scene) -> None:
    scene.write(decision(1))
    scene.ship()
    for path in (scene.root, *scene.root.rglob("*")):
        os.chown(path, 65534, 65534)
    try:
        assert scene.rows("SELECT count(*) FROM decisions") == [(1,)]
    except Unavailable as error:
        # Python itself lies where that user may not read.
        assert "ask as that user" in str(error)
