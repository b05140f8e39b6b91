"""What the doctor says of the log: a home that is well, and one wrong thing at a time."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from tests.app.conftest import running_on, tsavo
from tests.ledger.homes import LoggedHome
from tsavo.app.doctor import Examination, examine
from tsavo.app.doctor_ledger import examine_anchor, examine_ledger
from tsavo.ledger import LedgerReader, read_standing
from tsavo.storage import Home, HomeLock


@pytest.fixture
def logged(tmp_path: Path) -> LoggedHome:
    """Twenty entries or so, of which all are signed and anchored; stopped."""
    logged = LoggedHome(tmp_path / "home")
    logged.home.settings.write_text(f"[ledger]\nanchor = '{logged.anchor}'\n")
    logged.deploy("credit")
    for number in range(6):
        logged.decide(number * 3, 3)
    logged.close()
    return logged


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_log_that_is_well(logged: LoggedHome) -> None:
    head = LedgerReader(logged.home.ledger).head()
    log, anchor = examine_ledger(logged.home), examine_anchor(logged.home)
    assert (log.ok, log.mend) == (True, "")
    assert log.found == f"{head.size} entries signed, head of {head.time} verifies"
    assert (anchor.ok, anchor.mend) == (True, "")
    assert f"the head of {head.size} entries" in anchor.found


def test_a_home_that_logged_nothing_yet_is_well(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    assert examine_ledger(home).ok
    anchor = examine_anchor(home)
    assert (anchor.ok, anchor.mend, "ledger.anchor" in anchor.found) == (True, "", True)


def remove_log(home: Home) -> None:
    shutil.rmtree(home.ledger)


def cut_entries(home: Home) -> None:
    (segment,) = home.ledger.glob("segments/*.jsonl")
    os.truncate(segment, segment.stat().st_size // 2)


def change_root(home: Home) -> None:
    # The hash that the last two entries lead to, and the root from there.
    flip(home.ledger / "tree", -1)


def change_signature(home: Home) -> None:
    head = home.ledger / "head.json"
    head.write_bytes(head.read_bytes().replace(b'"signature":"', b'"signature":"00', 1))


def change_key(home: Home) -> None:
    flip(home.ledger / "key.pub", 40)


def remove_key(home: Home) -> None:
    (home.ledger / "key.pem").unlink()


def break_head(home: Home) -> None:
    (home.ledger / "head.json").write_bytes(b"{}")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (remove_log, "the log is gone"),
        (cut_entries, "segments has"),
        (change_root, "tree has"),
        (change_signature, "another signature"),
        (change_key, "key.pub has"),
        (remove_key, "key.pem has nothing"),
        (break_head, "the log's head cannot be read"),
    ],
)
def test_a_log_that_is_not_what_was_signed(logged: LoggedHome, harm: object, words: str) -> None:
    assert callable(harm)
    harm(logged.home)
    look = examine_ledger(logged.home)
    assert not look.ok
    assert words in look.found
    assert look.mend


def test_entries_that_wait_for_long_are_told_while_tsavo_runs(logged: LoggedHome) -> None:
    logged.open()
    logged.decide(100, 3)
    logged.crash()
    # A crash left them, and nothing runs: the next start signs them.
    look = examine_ledger(logged.home)
    assert look.ok
    assert "wait to be signed" in look.found
    assert "tsavo up" in look.mend
    lock = HomeLock(logged.home)
    lock.acquire()
    try:
        (logged.home.run / "addresses.json").write_text('{"pid": 1, "gateway": "", "console": ""}')
        look = examine_ledger(logged.home)
    finally:
        lock.release()
    assert not look.ok
    assert "keeper.log" in look.mend


def test_an_anchor_that_lags_and_one_that_fails(logged: LoggedHome) -> None:
    kept = logged.anchor.read_bytes()
    logged.anchor.unlink()
    logged.anchor.mkdir()
    logged.open()
    logged.decide(100, 3)
    logged.close()
    told = read_standing(logged.home.run)
    assert told is not None
    assert (told.anchor_failures, bool(told.anchor_error)) == (1, True)
    assert told.signed_entries > told.anchored_entries > 0
    assert not examine_anchor_safely(logged.home).ok
    logged.anchor.rmdir()
    logged.anchor.write_bytes(kept)
    look = examine_anchor(logged.home)
    assert not look.ok
    assert f"{told.signed_entries - told.anchored_entries} signed entries are not anchored" in look.found
    # The next head binds what that one would have.
    logged.open()
    logged.decide(200, 3)
    logged.close()
    assert examine_anchor(logged.home).ok


def examine_anchor_safely(home: Home) -> Examination:
    return next(look for look in examine(home) if look.name == "log anchor")


def test_an_anchor_that_lost_what_it_was_given(logged: LoggedHome) -> None:
    logged.anchor.write_bytes(b"")
    look = examine_anchor(logged.home)
    assert not look.ok
    assert "has not the head" in look.found


def test_a_home_restored_from_an_old_backup_contradicts_its_anchor(
    logged: LoggedHome, tmp_path: Path
) -> None:
    shutil.copytree(logged.home.root, tmp_path / "old")
    logged.open()
    logged.decide(100, 3)
    logged.close()
    shutil.rmtree(logged.home.root)
    shutil.copytree(tmp_path / "old", logged.home.root)
    assert examine_ledger(logged.home).ok
    look = examine_anchor(logged.home)
    assert not look.ok
    assert "fewer than" in look.found


def samples(console: str) -> dict[str, float]:
    answer = httpx.get(
        f"{console}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = list(parse_openmetrics(answer.text))  # type: ignore[no-untyped-call]
    # The same in the other format, which older collectors ask for; there may be more of it a moment later.
    assert len(list(parse_prometheus(httpx.get(f"{console}/metrics").text))) >= len(families)
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_a_running_home_tells_how_its_log_is_and_a_keeper_that_closes_it_says_so_everywhere(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.settings.write_text(f"[ledger]\nsign_seconds = 0.2\nanchor = '{tmp_path / 'heads'}'\n")
    with running_on(home.root) as running:
        # The first entry is there at once; what the start did to the registry comes with the first round.
        deadline = time.monotonic() + 20
        while (found := samples(running.console)).get("tsavo_ledger_anchored_entries", 0) < 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert found["tsavo_ledger_open"] == 1
        assert found["tsavo_ledger_entries"] >= found["tsavo_ledger_signed_entries"] >= 1
        assert found["tsavo_ledger_sign_interval_seconds"] == 0.2
        failures = {name: value for name, value in found.items() if "failures" in name}
        assert failures == {"tsavo_ledger_anchor_failures_total": 0, "tsavo_ledger_sign_failures_total": 0}
        for what in ("told", "signed", "anchored"):
            assert abs(time.time() - found[f"tsavo_ledger_{what}_timestamp_seconds"]) < 30
        looks = {look["name"]: look for look in running.tsavo("doctor")}
        assert looks["log"]["ok"]
        assert looks["log anchor"]["ok"]
    (segment,) = home.ledger.glob("segments/*.jsonl")
    os.truncate(segment, segment.stat().st_size // 2)
    with running_on(home.root) as running:
        done = tsavo("doctor", "--home", str(home.root))
        assert done.returncode == 1
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("BAD  log ")]
        assert "the log is not what was signed" in line
        assert samples(running.console)["tsavo_ledger_open"] == 0
        (warning,) = httpx.get(f"{running.console}/api/status").json()["warnings"]
        assert "closed" in warning
        page = httpx.get(f"{running.console}/ledger")
        assert (page.status_code, "closed" in page.text) == (200, True)
