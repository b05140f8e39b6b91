from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tsavo.storage import Addresses, Home, HomeLock
from tsavo.vocabulary import Conflict, Unavailable

HOLDER = """
import sys
from tsavo.storage import Addresses, Home, HomeLock
home = Home(sys.argv[1])
lock = HomeLock(home)
lock.acquire()
home.publish(Addresses(4711, "http://127.0.0.1:1", "http://127.0.0.1:2"))
print("held", flush=True)
input()
home.withdraw()
lock.release()
print("released", flush=True)
input()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with its folders."""
    home = Home(tmp_path / "a home with 100% of ? and #")
    home.create()
    return home


@contextmanager
def holder(home: Home) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the home."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_folders_are_for_their_owner_only(home: Home) -> None:
    for folder in (home.root, home.artifacts, home.journal, home.lake, home.run, home.logs, home.work):
        assert folder.stat().st_mode & 0o777 == 0o700
    home.create()
    assert not home.exists()


def test_where_the_home_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TSAVO_HOME", str(tmp_path / "from-environment"))
    assert Home().root == tmp_path / "from-environment"
    assert Home(tmp_path / "given").root == tmp_path / "given"
    monkeypatch.delenv("TSAVO_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert Home().root.is_relative_to(tmp_path)
    assert Home("~/there").root == tmp_path / "there"
    monkeypatch.chdir(tmp_path)
    assert Home("here").root == tmp_path / "here"


def test_a_home_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable) as caught:
        Home(tmp_path / "file" / "home").create()
    assert caught.value.field == "home"
    assert "--home DIR" in str(caught.value)


def test_another_process_has_the_home_until_it_lets_go(home: Home) -> None:
    assert not HomeLock(home).held()
    with holder(home) as process:
        assert HomeLock(home).held()
        assert home.addresses() == Addresses(4711, "http://127.0.0.1:1", "http://127.0.0.1:2")
        with pytest.raises(Conflict, match=r"127\.0\.0\.1:2, process 4711"):
            HomeLock(home).acquire()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "released\n"
        assert home.addresses() is None
        lock = HomeLock(home)
        lock.acquire()
        lock.release()


def test_a_killed_process_leaves_the_home_free_and_its_addresses_are_not_believed(home: Home) -> None:
    with holder(home) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert (home.run / "addresses.json").exists()
        assert home.addresses() is None
        lock = HomeLock(home)
        lock.acquire()
        assert HomeLock(home).held()
        lock.release()


def test_who_starts_or_stops_is_named_so(home: Home) -> None:
    lock = HomeLock(home)
    lock.acquire()
    with pytest.raises(Conflict, match="starting or stopping"):
        HomeLock(home).acquire()
    lock.release()
    lock.release()


def test_addresses_that_are_not_addresses(home: Home) -> None:
    lock = HomeLock(home)
    lock.acquire()
    for content in (b"", b"{", b'{"pid": "x"}', b"[]"):
        (home.run / "addresses.json").write_bytes(content)
        assert home.addresses() is None
    home.withdraw()
    home.withdraw()
    lock.release()


def test_those_who_only_look_are_never_in_the_way(home: Home) -> None:
    stop = threading.Event()
    mistaken: list[str] = []
    (home.run / "lock").touch()

    def look() -> None:
        while not stop.wait(0.0002):
            HomeLock(home).held()

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    for _ in range(200):
        lock = HomeLock(home)
        try:
            lock.acquire()
        except Conflict:
            mistaken.append("a look was taken for an owner")
        else:
            lock.release()
    stop.set()
    for looker in lookers:
        looker.join()
    assert mistaken == []


def test_two_who_look_at_once_do_not_see_each_other(home: Home) -> None:
    (home.run / "lock").touch()
    seen: list[bool] = []

    def look() -> None:
        seen.extend(HomeLock(home).held() for _ in range(2000))

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    assert not any(seen)
