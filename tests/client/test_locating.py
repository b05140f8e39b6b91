from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.client.conftest import Scene
from tsavo.client.locating import NotRunning, find_console
from tsavo.storage import Addresses, Home, HomeLock
from tsavo.vocabulary import Unavailable

ADDRESSES = Addresses(os.getpid(), "http://127.0.0.1:1", "http://127.0.0.1:2")


def home_in(folder: Path) -> Home:
    home = Home(folder)
    home.create()
    return home


def test_a_url_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_console("http://elsewhere:8090/") == "http://elsewhere:8090"
    monkeypatch.setenv("TSAVO_URL", "http://named:1/")
    assert find_console() == "http://named:1"
    assert find_console("http://elsewhere:8090") == "http://elsewhere:8090"


def test_a_home_that_runs_is_found_by_name_or_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_in(tmp_path)
    lock = HomeLock(home)
    lock.acquire()
    home.publish(ADDRESSES)
    assert find_console(home=tmp_path) == ADDRESSES.console
    monkeypatch.setenv("TSAVO_HOME", str(tmp_path))
    assert find_console() == ADDRESSES.console
    lock.release()


def test_a_home_that_is_named_wins_over_the_url_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSAVO_URL", "http://named:1")
    with pytest.raises(NotRunning) as caught:
        find_console(home=tmp_path)
    assert caught.value.home == tmp_path


def test_addresses_that_a_killed_supervisor_left_are_nobodys(tmp_path: Path) -> None:
    """Another home's Tsavo may answer there by now."""
    home = home_in(tmp_path)
    home.publish(ADDRESSES)
    with pytest.raises(NotRunning):
        find_console(home=tmp_path)
    HomeLock(home).acquire()  # makes the lock file; the kernel unlocks it when the number is closed
    home.withdraw()
    with pytest.raises(NotRunning):
        find_console(home=tmp_path)


def test_looking_does_not_keep_a_supervisor_out(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    home.publish(ADDRESSES)
    (home.run / "lock").touch()
    with pytest.raises(NotRunning):
        find_console(home=tmp_path)
    lock = HomeLock(home)
    lock.acquire()
    lock.release()


@pytest.mark.parametrize("content", [b"", b"{}", b"not json"])
def test_addresses_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    home = home_in(tmp_path)
    (home.run / "addresses.json").write_bytes(content)
    with pytest.raises(NotRunning):
        find_console(home=tmp_path)


def test_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        find_console(home=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "tsavo up --detach" in str(caught.value)
    assert caught.value.kind == "unavailable"


def test_a_running_tsavo_is_found_through_its_home(scene: Scene) -> None:
    assert find_console(home=scene.running.home) == scene.running.console
