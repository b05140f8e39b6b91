"""What the keeper writes to the log: who did what, and what nobody did."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa

from tests.examples import SteppingClock, example_route, keep_versions
from tests.lake.scene import Scene
from tests.ledger.homes import LoggedHome, load_verifier
from tests.ledger.tampering import KINDS, PARTS, Tamperer
from tsavo.app.attesting import Attestor
from tsavo.app.settings import LedgerSettings
from tsavo.governance import verify_log
from tsavo.ledger import LedgerReader, open_anchor
from tsavo.registry import migrate, save_route
from tsavo.storage import Database, Home


@pytest.fixture
def verifier() -> ModuleType:
    return load_verifier()


@pytest.fixture
def logged(tmp_path: Path) -> LoggedHome:
    return LoggedHome(tmp_path / "home")


def entries(logged: LoggedHome) -> list[dict[str, Any]]:
    reader = LedgerReader(logged.home.ledger)
    return [json.loads(reader.inclusion(number).entry) for number in range(reader.head().size)]


def change(logged: LoggedHome, statement: str) -> None:
    """Somebody with another program."""
    with closing(sqlite3.connect(logged.home.registry)) as database, database:
        database.execute(statement)


def test_a_clean_stop_signs_and_anchors_everything(logged: LoggedHome, verifier: ModuleType) -> None:
    logged.deploy("credit")
    logged.decide(0, 3)
    logged.close()
    (*_, newest) = open_anchor(str(logged.anchor)).heads()
    assert newest == LedgerReader(logged.home.ledger).head()
    assert newest.size == LedgerReader(logged.home.ledger).entries()
    verifier.verify(logged.home.root, logged.key, logged.anchor.read_bytes().splitlines(keepends=True))
    kinds = [entry["kind"] for entry in entries(logged)]
    assert kinds.count("audit") == 1
    assert kinds.count("commit") == 2
    assert kinds.count("rows") == 1


def test_an_entry_of_the_audit_trail_stands_whole_in_the_log(logged: LoggedHome) -> None:
    logged.deploy("credit", why="because ü")
    logged.close()
    (entry,) = [entry for entry in entries(logged) if entry["kind"] == "audit"]
    with closing(sqlite3.connect(logged.home.registry)) as database:
        database.row_factory = sqlite3.Row
        assert entry["row"] == dict(database.execute("SELECT * FROM audit").fetchone())
    assert (entry["found"], entry["row"]["why"]) == ("written", "because ü")


def test_an_entry_that_was_changed_before_it_was_logged_is_unexpected(logged: LoggedHome) -> None:
    logged.deploy("credit")
    logged.deploy("sales")
    change(logged, "UPDATE audit SET who = 'eve' WHERE id = 1")
    logged.deploy("other")
    logged.close()
    found = {entry["row"]["id"]: entry["found"] for entry in entries(logged) if entry["kind"] == "audit"}
    assert found == {1: "unexpected", 2: "written", 3: "written"}


def test_rows_that_changed_while_nothing_ran_are_unexpected(logged: LoggedHome) -> None:
    logged.deploy("credit")
    logged.close()
    change(logged, "UPDATE endpoints SET plugged = 1")
    logged.open()
    logged.attestor.round()
    logged.close()
    (*_, entry) = [entry for entry in entries(logged) if entry["kind"] == "rows"]
    assert (entry["found"], list(entry["changed"]), entry["gone"]) == ("unexpected", ["endpoints"], {})
    verdict = verify_log(logged.home, Database(f"sqlite:///{logged.home.registry}", read_only=True))
    assert verdict.ok
    assert [odd.what.partition(":")[0] for odd in verdict.unexpected] == ["rows of endpoints"]


def test_a_row_that_went_is_told(logged: LoggedHome, verifier: ModuleType) -> None:
    logged.deploy("credit")
    logged.deploy("sales")
    logged.close()
    change(logged, "DELETE FROM routes WHERE endpoint = 'credit'")
    logged.open()
    logged.attestor.round()
    logged.close()
    (*_, entry) = [entry for entry in entries(logged) if entry["kind"] == "rows"]
    assert entry["gone"] == {"routes": ["[1]"]}
    verifier.verify(logged.home.root, logged.key, [])


def test_a_crash_between_commit_and_entry_leaves_nothing_unexplained(
    logged: LoggedHome, verifier: ModuleType
) -> None:
    logged.deploy("credit")
    logged.decide(0, 3)
    logged.crash()
    logged.open()
    logged.decide(10, 2)
    logged.close()
    told = verifier.verify(logged.home.root, logged.key, [])
    assert told.endswith("somebody else did: none")


def test_an_anchor_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logged = LoggedHome(tmp_path / "home", anchor=tmp_path / "nowhere" / "heads.jsonl")
    logged.deploy("credit")
    logged.attestor.sign()
    assert "could not be anchored" in caplog.text
    (tmp_path / "nowhere").mkdir()
    logged.close()
    assert len(open_anchor(str(logged.anchor)).heads()) == 1


def test_the_rows_of_a_registry_in_postgresql_are_logged_and_verified(
    tmp_path: Path, postgresql_url: str
) -> None:
    home = Home(tmp_path / "home")
    home.create()
    database = Database(postgresql_url)
    migrate(database)
    with database.begin() as connection:
        keep_versions(connection, "credit", 2)
        save_route(connection, example_route("credit"))
    scene = Scene(home.root)
    attestor = Attestor(home, database, scene.lake, SteppingClock(), LedgerSettings())
    attestor.round()
    attestor.stop()
    verdict = verify_log(home, database)
    assert (verdict.ok, verdict.rows) == (True, 5)
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE versions SET runtime = 'other' WHERE number = 2"))
    verdict = verify_log(home, database)
    assert [(bad.place, bad.what) for bad in verdict.bad] == [('registry, versions ["credit",2]', "changed")]
    database.close()


def test_every_bad_place_is_named(logged: LoggedHome) -> None:
    logged.deploy("credit")
    logged.decide(0, 3)
    logged.close()
    first, *_, last = sorted(path for path in (logged.home.lake).rglob("*") if path.is_file())
    first.write_bytes(b"other")
    last.unlink()
    (logged.home.lake / "more").write_bytes(b"more")
    change(logged, "UPDATE audit SET why = 'other'")
    database = Database(f"sqlite:///{logged.home.registry}", read_only=True)
    verdict = verify_log(logged.home, database, anchors=open_anchor(str(logged.anchor)).heads())
    root = logged.home.root
    assert sorted((bad.place, bad.what) for bad in verdict.bad) == sorted(
        [
            (first.relative_to(root).as_posix(), "changed"),
            (last.relative_to(root).as_posix(), "missing"),
            ("lake/more", "not in the log"),
            ("registry, audit [1]", "changed"),
        ]
    )
    assert not verdict.ok
    database.close()


def test_both_verifiers_agree(logged: LoggedHome, verifier: ModuleType, tmp_path: Path) -> None:
    """In what they say of a home that was changed in one place, each in its own words."""
    logged.deploy("credit")
    logged.decide(0, 3, "credit")
    logged.decide(10, 3, "sales")
    logged.close()
    old = tmp_path / "home-old"
    shutil.copytree(logged.home.root, old)
    logged.open()
    logged.deploy("sales")
    logged.deploy("other")
    logged.decide(20, 3, "credit")
    logged.close()
    anchors = open_anchor(str(logged.anchor)).heads()
    tamperer = Tamperer(logged.home.root, old, Random(3))
    for part in PARTS:
        for kind in (*KINDS, *KINDS):
            if (part, kind) == ("lake", "restore"):
                # Too few commits for a file that was written twice.
                continue
            change = tamperer.change(part, kind)
            try:
                database = Database(f"sqlite:///{logged.home.registry}", read_only=True)
                try:
                    found = not verify_log(logged.home, database, anchors=anchors, key=logged.key).ok
                except Exception:  # what cannot be read at all is found, too
                    found = True
                database.close()
            finally:
                tamperer.undo()
            assert found, change
