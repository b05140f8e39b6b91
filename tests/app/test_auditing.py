"""The audit trail as people read it: narrowed, and written to a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import tsavo
from tests.app.conftest import Running, running_on
from tests.app.conftest import tsavo as command
from tests.app.models import save_small_model


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("trail")
    with running_on(folder / "home") as running:
        model, reference = save_small_model(folder)
        words = ("deploy", str(model), "--name", "small", "--reference", str(reference), "--trust")
        running.tsavo(*words, "--why", "=1+1")
        running.tsavo("plug", "small", "--why", "it lies")
        running.tsavo("plug", "small", "--off")
        yield running


def actions(running: Running, *words: str) -> list[str]:
    return [entry["action"] for entry in running.tsavo("audit", *words)]


def test_it_is_narrowed(running: Running) -> None:
    all_of_it = actions(running)
    assert all_of_it[:2] == ["endpoint.unplug", "endpoint.plug"]
    assert "version.register" in all_of_it
    assert actions(running, "endpoint:small") == [one for one in all_of_it if one.startswith("endpoint.")]
    assert actions(running, "--action", "endpoint.plug") == ["endpoint.plug"]
    assert actions(running, "--action", "endpoint") == actions(running, "endpoint:small")
    assert actions(running, "--action", "end") == []
    assert actions(running, "--who", "nobody-of-this-name") == []
    assert actions(running, "--since", "1h", "--limit", "1") == all_of_it[:1]
    assert actions(running, "--until", "1h") == []
    with tsavo.connect(running.console) as client:
        later = datetime.now(UTC) + timedelta(hours=1)
        assert list(client.audit(since=later)) == []
        assert [entry.why for entry in client.audit("endpoint:small", action="endpoint.plug")] == ["it lies"]


def test_it_goes_into_files(running: Running, tmp_path: Path) -> None:
    lines, table = tmp_path / "trail.jsonl", tmp_path / "trail.csv"
    told = running.tsavo("audit", "--output", str(lines))
    running.tsavo("audit", "--output", str(table))
    entries = [json.loads(line) for line in lines.read_text().splitlines()]
    assert told["entries"] == len(entries) == len(actions(running))
    plugged = next(entry for entry in entries if entry["action"] == "endpoint.plug")
    assert plugged["before"]["plug"] is None
    assert plugged["after"]["plug"]["why"] == "it lies"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["action"] for row in rows] == [entry["action"] for entry in entries]
    # A spreadsheet program must not run it.
    assert {row["why"] for row in rows} >= {"'=1+1", "it lies"}
    assert json.loads(rows[1]["after"])["endpoint"] == "small"


def test_wrong_words_are_told(running: Running) -> None:
    for words, said in (
        (("--output", "trail.xml"), "can be written to"),
        (("--since", "soon"), "not a moment"),
    ):
        done = command("audit", *words, "--home", str(running.home))
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
