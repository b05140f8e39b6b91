"""The log of a real home: keepers killed at random moments, proofs, verifications, and changes that somebody made."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

import tsavo as package
from tests.app.conftest import Running, running_on, tsavo
from tests.app.models import save_small_model
from tests.app.test_kill import Load
from tests.ledger.homes import VERIFIER
from tsavo.app.settings import load_settings
from tsavo.client import Client
from tsavo.storage import Home
from tsavo.vocabulary import LedgerView, NotFound

_KILLS = 5


def independently(home: Path, key: str, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(VERIFIER), str(home), key, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def kill_keepers(running: Running, count: int) -> int:
    moments = random.Random(11)
    killed = 0
    deadline = time.monotonic() + 60
    while killed < count and time.monotonic() < deadline:
        for pid in running.children("tsavo.app.keeper_process"):
            time.sleep(moments.uniform(0.2, 1.5))
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed += 1
        time.sleep(0.1)
    return killed


def look_around(client: Client, console: str, asked: list[str]) -> LedgerView:
    """Everything that a running Tsavo says about its log; return what it says at a glance."""
    deadline = time.monotonic() + 60
    while True:
        try:
            proofs = [client.prove_decision(one) for one in asked]
            break
        except NotFound:
            assert time.monotonic() < deadline
            time.sleep(0.3)
    assert {proof.table for proof in proofs} == {"lake/decisions/m", "lake/decisions/n"}
    # A keeper that was killed again and again is started again after a while only.
    while not (verdict := client.verify_log()).ok:
        assert time.monotonic() < deadline, verdict.bad
    view = client.ledger()
    assert view.verified is not None
    assert view.verified.ok
    page = httpx.get(f"{console}/ledger").text
    assert view.head.origin in page
    assert "as the log says" in page
    assert httpx.post(f"{console}/ledger/verify").status_code == 303
    earlier = client.ledger_consistency(1)
    assert earlier.second >= view.head.size
    assert json.loads(client.ledger_entry(0).entry)["kind"] == "start"
    return view


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tampering") / "home"
    folder.mkdir()
    settings = "[ledger]\nsign_seconds = 0.5\nanchor = '{}'\n[keeper]\nship_seconds = 0.1\n"
    (folder / "tsavo.toml").write_text(settings.format(folder.with_name("anchor.jsonl")))
    return folder


@pytest.fixture(scope="module")
def key(home: Path) -> str:
    """Two endpoints, decisions, changes, and keepers killed in the midst of it; then a clean stop."""
    with running_on(home) as running:
        model, reference = save_small_model(home.parent)
        for name in ("m", "n"):
            words = ("deploy", str(model), "--name", name, "--trust", "--reference", str(reference))
            running.tsavo(*words, "--target", "target")
        stop = threading.Event()
        loads = [
            Load(f"{running.gateway}/v2/models/{name}/infer", stop, seed) for seed, name in enumerate("mn")
        ]
        for load in loads:
            load.start()
        try:
            assert kill_keepers(running, _KILLS) == _KILLS
        finally:
            stop.set()
            for load in loads:
                load.join()
        running.tsavo("plug", "m", "--why", "an exercise")
        running.tsavo("plug", "m", "--off")
        asked = [load.answered[0] for load in loads if load.answered]
        with package.connect(running.console) as client:
            view = look_around(client, running.console, asked)
        return view.key


def test_keepers_killed_at_random_leave_a_log_that_an_independent_verifier_believes(
    home: Path, key: str
) -> None:
    code, told = independently(home, key, str(home.with_name("anchor.jsonl")))
    assert code == 0, told


def test_what_a_crash_kept_out_is_recovered_and_nothing_is_laid_at_a_strangers_door(
    home: Path, key: str
) -> None:
    done = tsavo("verify-log", "--home", str(home), "--key", key, "--json")
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["ok"], verdict["unsigned"]) == (0, True, 0)
    # Points of charts come from no journal, so that those alone may stay without a witness.
    assert all("lake/monitors" in odd["what"] for odd in verdict["unexpected"]), verdict["unexpected"]


def test_a_stopped_home_answers_and_names_what_was_changed(home: Path, key: str) -> None:
    anchor = str(home.with_name("anchor.jsonl"))
    done = tsavo("anchor", str(home.with_name("second.jsonl")), "--home", str(home), "--json")
    assert json.loads(done.stdout)["key"] == key
    printed = tsavo("verify-log", "--script")
    assert printed.stdout == VERIFIER.read_text()
    database = sqlite3.connect(home / "registry.db")
    (why,) = database.execute("SELECT why FROM audit WHERE id = 3").fetchone()
    database.execute("UPDATE audit SET why = 'another' WHERE id = 3")
    database.commit()
    try:
        done = tsavo("verify-log", "--home", str(home), "--anchor", anchor, "--key", key)
        assert done.returncode == 1
        assert done.stdout.startswith("BAD registry, audit [3]: changed\n")
        code, told = independently(home, key, anchor)
        assert (code, told) == (1, "BAD: registry.db, audit [3]: changed\n")
    finally:
        database.execute("UPDATE audit SET why = ? WHERE id = 3", (why,))
        database.commit()
        database.close()
    assert tsavo("verify-log", "--home", str(home), "--anchor", anchor).returncode == 0
    assert load_settings(Home(home)).ledger.anchor == anchor
