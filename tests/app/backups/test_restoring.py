"""A backup of a home that runs becomes a home that runs, with all that was answered before it began."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.conftest import running_on, tsavo
from tests.app.models import save_small_model
from tests.app.test_kill import Load
from tests.examples import example_route
from tests.lake.scene import Scene, decision, signature_of
from tests.postgresql import execute
from tsavo.app.backups import back_up, restore
from tsavo.app.settings import Settings, load_settings
from tsavo.journal import JournalWriter
from tsavo.journal.files import link_spill
from tsavo.lake import Lake
from tsavo.registry import list_routes, migrate, save_route
from tsavo.storage import Database, Home, taking_turns
from tsavo.vocabulary import Conflict, Damaged, NotFound, encode_record

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A home with rows in the lake and in the journals, and a registry."""
    home = Home(tmp_path / "home")
    home.create()
    database = Database(f"sqlite:///{home.registry}")
    migrate(database)
    database.close()
    made = Scene(home.root)
    made.write(*[decision(number, endpoint=f"e{number % 3}") for number in range(60)])
    made.ship()
    made.write(*[decision(100 + number) for number in range(7)], journal="gateway-1")
    (home.artifacts / "ab").mkdir()
    (home.artifacts / "ab" / "cd").write_bytes(b"an artifact")
    (home.root / "later-room").mkdir()
    (home.root / "later-room" / "key").write_bytes(b"a key")
    return made


def home_of(scene: Scene) -> Home:
    return Home(scene.folder)


def ids(home: Home) -> Counter[str]:
    lake = Lake(home.lake, home.journal, signature_of)
    return Counter(lake.sql("SELECT decision_id FROM decisions", rows=10**6)["decision_id"].to_pylist())


def test_a_restored_home_has_every_row_once_and_ships_the_rest(scene: Scene, tmp_path: Path) -> None:
    expected = ids(home_of(scene))
    assert len(expected) == 67
    done = back_up(home_of(scene), Settings(), tmp_path / "backups", now=NOW)
    new = Home(tmp_path / "deep" / "new")
    told = restore(tmp_path / "backups", new)
    assert (told.backup, told.files, told.bytes) == (done.id, done.files, done.bytes)
    assert ids(new) == expected
    Lake(new.lake, new.journal, signature_of).ship()
    assert ids(new) == expected
    assert (new.artifacts / "ab" / "cd").read_bytes() == b"an artifact"
    assert (new.root / "later-room" / "key").read_bytes() == b"a key"
    assert new.root.stat().st_mode & 0o777 == 0o700
    assert not (new.root / "run").exists()
    assert [path.name for path in new.root.parent.iterdir()] == ["new"]


def test_a_second_backup_copies_only_what_is_new(scene: Scene, tmp_path: Path) -> None:
    first = back_up(home_of(scene), Settings(), tmp_path / "backups", now=NOW)
    assert first.new_files == first.files
    scene.write(decision(500))
    scene.lake.ship()
    second = back_up(home_of(scene), Settings(), tmp_path / "backups", now=NOW.replace(hour=5))
    # Data files and entries of logs, and the journals with their marks.
    assert 2 <= second.new_files <= 12 < first.files
    assert second.files > first.files
    for name, count in ((first.id, 67), (second.id, 68)):
        new = Home(tmp_path / name)
        restore(tmp_path / "backups", new, backup=name)
        assert sum(ids(new).values()) == count


def test_a_damaged_copy_is_made_anew_by_the_next_backup(scene: Scene, tmp_path: Path) -> None:
    back_up(home_of(scene), Settings(), tmp_path / "backups", now=NOW)
    copies = sorted((tmp_path / "backups" / "files").glob("??/*"))
    for copy in copies:
        copy.chmod(0o600)
        copy.write_bytes(b"?" * copy.stat().st_size)
    with pytest.raises(Damaged):
        restore(tmp_path / "backups", Home(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new-*"))
    back_up(home_of(scene), Settings(), tmp_path / "backups", now=NOW.replace(hour=5))
    restore(tmp_path / "backups", Home(tmp_path / "new"))
    assert ids(Home(tmp_path / "new")) == ids(home_of(scene))


def test_a_home_that_is_not_empty_is_refused_and_left_alone(scene: Scene, tmp_path: Path) -> None:
    back_up(home_of(scene), Settings(), tmp_path / "backups", now=NOW)
    new = tmp_path / "new"
    new.mkdir()
    (new / "mine").write_text("mine")
    with pytest.raises(Conflict, match="not empty"):
        restore(tmp_path / "backups", Home(new))
    assert [path.name for path in new.iterdir()] == ["mine"]
    (new / "mine").unlink()
    restore(tmp_path / "backups", Home(new))
    assert ids(Home(new))


def test_what_cannot_be_backed_up_is_said(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="cannot lie in the home"):
        back_up(home_of(scene), Settings(), scene.folder / "backups", now=NOW)
    with pytest.raises(NotFound, match="no Tsavo home"):
        back_up(Home(tmp_path / "nowhere"), Settings(), tmp_path / "backups", now=NOW)
    with pytest.raises(NotFound):
        restore(tmp_path / "nowhere", Home(tmp_path / "new"))


def test_a_backup_waits_for_the_keepers_turn(scene: Scene, tmp_path: Path) -> None:
    home = home_of(scene)
    done: list[Any] = []
    with taking_turns(home.lake_turn):
        waiting = threading.Thread(
            target=lambda: done.append(back_up(home, Settings(), tmp_path / "backups", now=NOW))
        )
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        # What is shipped before its turn comes is in the lake, and what was trimmed is not missed in the journal.
        scene.lake.ship()
    waiting.join(60)
    assert done
    restore(tmp_path / "backups", Home(tmp_path / "new"))
    assert ids(Home(tmp_path / "new")) == ids(home)


def test_what_was_spilled_to_another_disk_is_in_the_backup(scene: Scene, tmp_path: Path) -> None:
    home, other = home_of(scene), tmp_path / "other-disk"
    link = link_spill(home.journal, other)
    spilled = JournalWriter(link / "gateway-0.db")
    spilled.append_blocking(encode_record(decision(900)))
    spilled.close()
    expected = ids(home)
    assert sum(expected.values()) == 68
    back_up(home, Settings(), tmp_path / "backups", now=NOW)
    home.root.rename(tmp_path / "lost")
    shutil.rmtree(other)
    restore(tmp_path / "backups", home)
    assert ids(home) == expected
    # The second place can be had again, at the same address.
    assert link_spill(home.journal, other).is_symlink()
    assert ids(home) == expected


@contextmanager
def backing_up(home: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "tsavo", "backup", str(folder), "--home", str(home)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_backup_that_is_killed_is_none_and_the_next_is_whole(scene: Scene, tmp_path: Path) -> None:
    # Enough to copy that a moment within it can be met.
    for number in range(300):
        (scene.folder / "artifacts" / "ab" / f"{number}").write_bytes(
            random.Random(number).randbytes(400_000)
        )
    home, folder = home_of(scene), tmp_path / "backups"
    expected = ids(home)
    moments = random.Random(4)
    caught = 0
    for turn in range(6):
        with backing_up(home.root, folder) as process:
            deadline = time.monotonic() + 30
            while not (folder / "files").exists() and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(moments.uniform(0.0, 0.15))
            process.kill()
            process.wait()
        lists = list((folder / "backups").glob("*.json")) if folder.exists() else []
        caught += not lists
        new = Home(tmp_path / f"new-{turn}")
        if lists:
            restore(folder, new)
            assert ids(new) == expected
            break
        with pytest.raises(NotFound):
            restore(folder, new)
        assert not new.root.exists()
    assert caught
    back_up(home, Settings(), folder, now=NOW.replace(year=2099))
    assert not list((folder / "files").glob(".*"))
    assert not (folder / "files" / "scratch").exists()
    restore(folder, Home(tmp_path / "last"))
    assert ids(Home(tmp_path / "last")) == expected


def test_a_backup_of_a_running_tsavo_serves_and_counts_the_same(tmp_path: Path) -> None:
    model, reference = save_small_model(tmp_path)
    home, new = tmp_path / "home", tmp_path / "new"
    with running_on(home) as running:
        running.tsavo("deploy", str(model), "--name", "small", "--reference", str(reference), "--trust")
        stop = threading.Event()
        callers = [Load(f"{running.gateway}/v2/models/small/infer", stop, seed) for seed in range(2)]
        for caller in callers:
            caller.start()
        time.sleep(2)
        before = [name for caller in callers for name in list(caller.answered)]
        told = json.loads(tsavo("backup", str(tmp_path / "backups"), "--home", str(home), "--json").stdout)
        stop.set()
        for caller in callers:
            caller.join()
        after = {name for caller in callers for name in caller.answered}
    done = tsavo("restore", str(tmp_path / "backups"), "--home", str(new), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backup"] == told["id"]
    with running_on(new) as restored:
        rows = restored.tsavo("sql", "SELECT decision_id FROM decisions", "--limit", "1000000")
        found = Counter(row["decision_id"] for row in rows)
        assert len(before) > 100
        assert set(before) <= found.keys() <= after
        assert set(found.values()) == {1}
        body = {"inputs": [{"name": "m", "shape": [1, 3], "datatype": "FP64", "data": [1.0, 2.0, 3.0]}]}
        answer = httpx.post(f"{restored.gateway}/v2/models/small/infer", json=body)
        assert answer.status_code == 200
        receipt = restored.tsavo("decision", before[0])
        assert receipt["decision"]["decision_id"] == before[0]
    with sqlite3.connect(new / "registry.db") as registry:
        assert registry.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_registry_in_postgresql_comes_back_as_a_file_or_in_another_database(
    scene: Scene, tmp_path: Path, postgresql_url: str, postgresql_server: str
) -> None:
    home = home_of(scene)
    home.registry.unlink()
    database = Database(postgresql_url)
    migrate(database)
    with database.begin() as connection:
        save_route(connection, example_route("elsewhere"))
    database.close()
    home.settings.write_text(
        f"[storage]\nregistry = {json.dumps(postgresql_url)}\n\n[keeper]\nship_seconds = 2\n"
    )
    settings = load_settings(home, environment={})
    assert back_up(home, settings, tmp_path / "backups", now=NOW).notes

    def routes(new: Home) -> list[str]:
        told = load_settings(new, environment={})
        assert told.keeper.ship_seconds == 2
        registry = Database(told.storage.registry or f"sqlite:///{new.registry}")
        with registry.read() as connection:
            found = [route.endpoint for route in list_routes(connection).items]
        registry.close()
        return found

    new = Home(tmp_path / "new")
    restore(tmp_path / "backups", new)
    assert new.registry.is_file()
    assert routes(new) == ["elsewhere"]
    with pytest.raises(Conflict, match="not empty"):
        restore(tmp_path / "backups", Home(tmp_path / "taken"), registry=postgresql_url)
    assert not (tmp_path / "taken").exists()
    execute(postgresql_server, "CREATE DATABASE restored")
    try:
        url = postgresql_server.format(database="restored")
        restore(tmp_path / "backups", Home(tmp_path / "other"), registry=url)
        assert not Home(tmp_path / "other").registry.exists()
        assert load_settings(Home(tmp_path / "other"), environment={}).storage.registry == url
        assert routes(Home(tmp_path / "other")) == ["elsewhere"]
    finally:
        execute(postgresql_server, "DROP DATABASE restored WITH (FORCE)")
