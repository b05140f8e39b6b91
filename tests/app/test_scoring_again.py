"""A table that is scored under a key: cut short or run again, every row is decided once."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tsavo
from tests.app.conftest import Running
from tests.app.models import save_small_model
from tsavo.vocabulary import Invalid, Unavailable

ROWS = 30_000


@pytest.fixture(scope="module")
def running(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Running:
    model, reference = save_small_model(tmp_path_factory.mktemp("again"))
    running.tsavo("deploy", str(model), "--name", "small", "--reference", str(reference), "--trust")
    return running


def decisions(running: Running) -> int:
    (counted,) = running.tsavo("sql", "select count(*) as n, count(distinct decision_id) as d from decisions")
    assert counted["n"] == counted["d"]
    return int(counted["n"])


def test_a_gateway_that_is_killed_meanwhile_costs_nothing_but_time(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = np.random.default_rng(0).normal(size=(ROWS, 3))
    asked = 0

    def kill() -> None:
        for pid in running.children("tsavo.app.gateway_process"):
            os.kill(pid, signal.SIGKILL)

    before = decisions(running)
    with tsavo.connect(home=running.home) as client:
        endpoint = client.endpoint("small")
        post = endpoint._gateway.post

        def post_and_kill(*args: Any, **options: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked == 8:
                kill()
            elif asked == 20:
                # While the request is on its way, or its answer.
                threading.Timer(0.004, kill).start()
            return post(*args, **options)

        monkeypatch.setattr(endpoint._gateway, "post", post_and_kill)
        scores = endpoint.score(table, key="orders", retries=10)
        # At least one request had to be sent again.
        assert asked > ROWS / 1000
        assert len(set(scores.decision_ids)) == ROWS
        assert decisions(running) - before == ROWS
        # Run again, the whole table gets the answers that it got.
        again = client.endpoint("small").score(table, key="orders", retries=10)
        assert again.decision_ids == scores.decision_ids
        for name, values in scores.outputs.items():
            assert np.array_equal(again.outputs[name], values)
        assert decisions(running) - before == ROWS
        with pytest.raises(Invalid, match="used for another request"):
            client.endpoint("small").score(table[:10] + 1, key="orders")


def test_without_a_key_nobody_is_asked_twice(running: Running) -> None:
    with tsavo.connect(home=running.home) as client:
        endpoint = client.endpoint("small")
        first, second = (endpoint.score(np.zeros((1, 3))).decision_ids for _ in range(2))
        assert first != second
        with pytest.raises(Invalid, match="not a key"):
            endpoint.score(np.zeros((1, 3)), key="two words")
        with pytest.raises(Invalid, match="not a number of retries"):
            endpoint.score(np.zeros((1, 3)), retries=-1)


def test_the_command_line_takes_a_key(running: Running, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    names = ",".join(column["name"] for column in running.tsavo("show", "small@1")["signature"]["inputs"])
    table.write_text(f"{names}\n" + "0.1,0.2,0.3\n" * 5)
    first, second = (running.tsavo("score", "small", str(table), "--key", "file-1") for _ in range(2))
    assert [row["decision_id"] for row in first] == [row["decision_id"] for row in second]


def test_who_is_gone_for_good_is_told(running: Running) -> None:
    with tsavo.connect(home=running.home) as client:
        endpoint = client.endpoint("small")
        endpoint._gateway.close()
        nowhere = type(endpoint._gateway)("http://127.0.0.1:9")
        endpoint._gateway = nowhere
        with pytest.raises(Unavailable):
            endpoint.score(np.zeros((1, 3)), retries=1)
        nowhere.close()
