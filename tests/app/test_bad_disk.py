"""What callers and operators see when the disk under the journal fails: a running Tsavo on a disk that fails."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow.ipc
import pytest

from benchmarks.homes import PLAIN, Home

INPUTS = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]}]}


@contextmanager
def running(folder: Path, policy: str) -> Iterator[Home]:
    home = Home(folder, policy)
    try:
        home.deploy(folder)
        yield home
    finally:
        home.disk.works()
        home.tsavo("down")


def ask(home: Home, **headers: str) -> httpx.Response:
    url = f"{home.addresses['gateway']}/v2/models/{PLAIN}/infer"
    return httpx.post(url, json=INPUTS, headers=headers, timeout=30)


def examined(home: Home) -> dict[str, dict[str, Any]]:
    words = [sys.executable, "-m", "tsavo", "doctor", "--home", str(home.folder), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    return {look["name"]: look for look in json.loads(done.stdout)}


def comes(so: Callable[[], bool]) -> bool:
    """Whether it is so within a while: workers tell how they are once a second."""
    deadline = time.monotonic() + 20
    while not so() and time.monotonic() < deadline:
        time.sleep(0.1)
    return so()


def states(home: Home) -> set[str]:
    lines = httpx.get(f"{home.addresses['gateway']}/metrics", timeout=30).text.splitlines()
    found = [
        line for line in lines if line.startswith("tsavo_gateway_journal_state") and line.endswith(" 1.0")
    ]
    return {line.partition('state="')[2].partition('"')[0] for line in found}


def status(home: Home) -> Any:
    return httpx.get(f"{home.addresses['console']}/api/status", timeout=30).json()


@pytest.fixture(scope="module", params=["refuse", "answer-and-flag"])
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Home, str]]:
    with running(tmp_path_factory.mktemp("bad"), request.param) as found:
        yield found, request.param


def test_what_the_caller_and_the_operator_are_told(home: tuple[Home, str]) -> None:
    tsavo, policy = home
    good = ask(tsavo)
    assert "decision_id" in good.json()["parameters"]
    tsavo.disk.goes_wrong("eio", "w")
    flagged = 0
    # Both workers are asked, sooner or later.
    deadline = time.monotonic() + 30
    expected = "refusing" if policy == "refuse" else "not recording"
    while states(tsavo) != {expected} and time.monotonic() < deadline:
        answer = ask(tsavo)
        if policy == "refuse":
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert "disk I/O error" in answer.json()["detail"]
        else:
            flagged += 1
            assert answer.status_code == 200
            told = answer.json()["parameters"]
            assert told["flags"] == ["unrecorded"]
            assert "decision_id" not in told
    assert states(tsavo) == {expected}
    keyed = ask(tsavo, **{"Idempotency-Key": "key-1"})
    assert keyed.status_code == 503
    assert comes(lambda: len(status(tsavo)["warnings"]) >= 2)
    assert all(worker["state"] == expected for worker in status(tsavo)["recording"])
    page = httpx.get(f"{tsavo.addresses['console']}/models", timeout=30).text
    assert 'role="alert">The journal of gateway-0 cannot be written' in page
    told = examined(tsavo)["recording"]
    assert not told["ok"]
    assert expected in told["found"]
    assert "mend" in told["mend"]
    if policy == "answer-and-flag":
        flagged += rows_without_ids(tsavo)
    tsavo.disk.works()
    assert comes(lambda: states(tsavo) == {"well"})
    assert ask(tsavo, **{"Idempotency-Key": "key-1"}).status_code == 200
    if policy == "answer-and-flag":
        the_count_is_told(tsavo, flagged)
    else:
        assert status(tsavo)["warnings"] == []


def rows_without_ids(tsavo: Home) -> int:
    """Ask on the other roads; return how many answers that were."""
    url = f"{tsavo.addresses['gateway']}/endpoints/{PLAIN}/score"
    rows = httpx.post(url, json={"rows": [{"x": 1.0}, {"x": 2.0}]}, timeout=30)
    assert [row["decision_id"] for row in rows.json()["rows"]] == [None, None]
    assert "x-tsavo-decision-id" not in rows.headers
    accept = {"accept": "application/vnd.apache.arrow.stream"}
    table = httpx.post(url, json={"rows": [{"x": 1.0}, {"x": 2.0}]}, headers=accept, timeout=30)
    read = pyarrow.ipc.open_stream(io.BytesIO(table.content)).read_all()
    assert read["decision_id"].to_pylist() == [None, None]
    return 2


def the_count_is_told(tsavo: Home, flagged: int) -> None:
    entries = f"{tsavo.addresses['console']}/api/audit"

    def gaps() -> list[dict[str, Any]]:
        items = httpx.get(entries, params={"limit": 200}, timeout=30).json()["items"]
        return [item["after"] for item in items if item["action"] == "journal-gap"]

    assert comes(lambda: sum(gap["answers"] for gap in gaps()) == flagged)
    assert sum(gap["decisions"] for gap in gaps()) == 2 * flagged
    assert tsavo.counted() == flagged
    assert "answered and not recorded" in examined(tsavo)["journal gaps"]["found"]
    assert any("not recorded" in line for line in status(tsavo)["warnings"])
