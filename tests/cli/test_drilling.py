"""Limits, rule tables and fire drills, as the command line says them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import CommandLine, Scene

RULES = {"rules": [{"when": {"column": "a", "below": 0}, "outputs": 1}], "otherwise": 0}


@contextmanager
def asked(url: str) -> Iterator[None]:
    """Somebody asks an endpoint all the time."""
    halt = threading.Event()

    def ask() -> None:
        while not halt.wait(0.005):
            httpx.post(url, json={"rows": [[1.0, 0.0, 2.0]]})

    caller = threading.Thread(target=ask, daemon=True)
    caller.start()
    try:
        yield
    finally:
        halt.set()
        caller.join(60)


def test_a_drill_prints_a_line_for_each_step_and_the_verdict(
    tsavo: CommandLine, scene: Scene, tmp_path: Path
) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    tsavo.done("deploy", "small@1", "--endpoint", "fire", "--fallback", f"@{file}", "--constant", "1")
    assert "table of 1 rule, constant" in tsavo.done("show", "fire")
    with asked(f"{scene.running.gateway}/endpoints/fire/score"):
        lines = tsavo.done("drill", "fire", "--requests", "5", "--seconds", "30").splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        ["step", "what"],
        ["champion", "small@1"],
        ["1", "rule"],
        ["2", "constant"],
    ]
    assert lines[4].startswith("The chain holds: each of its 2 steps answered all ")


def test_a_drill_that_nobody_helps_fails(tsavo: CommandLine) -> None:
    tsavo.done("deploy", "small@1", "--endpoint", "quiet", "--constant", "1")
    said = tsavo("drill", "quiet", "--seconds", "1")
    assert (said.code, said.err) == (1, "")
    assert said.out.startswith("No live request came, so nothing was tried.")
    assert "1 to 3,600" in tsavo.refused("drill", "quiet", "--seconds", "0")


def test_limits(tsavo: CommandLine) -> None:
    tsavo.done("deploy", "small@1", "--endpoint", "narrow")
    said = tsavo.done("limit", "narrow", "--milliseconds", "1500", "--concurrent", "20", "--warm")
    assert said == "narrow: 1,500 ms, 20 requests at once, always in memory\n"
    assert "1,500 ms" in tsavo.done("show", "narrow")
    route = tsavo.json("limit", "narrow", "--milliseconds", "none", "--concurrent", "none", "--no-warm")[
        "route"
    ]
    assert (route["limits"], route["warm"]) == ({}, False)
    assert "nothing to change" in tsavo.refused("limit", "narrow")
    assert "1 to 600,000" in tsavo.refused("limit", "narrow", "--milliseconds", "0")
    assert tsavo.wrong("limit", "narrow", "--milliseconds", "soon")


@pytest.mark.parametrize("content", ["{", "[]", '{"rules": []}', '{"rules": [], "otherwise": 0}'])
def test_a_file_that_is_no_rule_table_is_named(tsavo: CommandLine, tmp_path: Path, content: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(content)
    assert "fallback" in tsavo.refused("deploy", "small@1", "--endpoint", "none", "--fallback", f"@{file}")
    assert "nowhere.json" in tsavo.refused("plug", "small", "--fallback", "@nowhere.json")


def test_what_cannot_have_a_share_is_refused(tsavo: CommandLine) -> None:
    tsavo.done("deploy", "small@1", "--endpoint", "whole")
    words = ("deploy", "small@1", "--endpoint", "whole")
    assert "champion already" in tsavo.refused(*words, "--share", "0.1")
    assert "no share" in tsavo.refused(*words, "--share", "0")
    assert "below 1" in tsavo.refused(*words, "--share", "1")
    assert "only shares" in tsavo.refused(*words, "--by", "key")
