from __future__ import annotations

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.cli.printing import as_text, print_json, print_pairs, print_table

COLUMNS = ("name", "what it says")
ROWS: list[list[str | None]] = [["a", "x" * 200], ["bb", None]]


def test_off_a_terminal_a_row_is_a_line_and_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, ROWS)
    assert capsys.readouterr().out == f"name  what it says\na     {'x' * 200}\nbb\n"


def test_without_rows_something_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [], nothing="Nobody is [bold] here.")
    assert capsys.readouterr().out == "Nobody is [bold] here.\n"


def on_a_terminal(program: str) -> str:
    """What a program shows on a real terminal of 60 columns."""
    leader, follower = pty.openpty()
    environment = os.environ | {"COLUMNS": "60", "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=follower, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # how Linux says that the other side has gone
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert process.wait(30) == 0
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_shows_a_table_when_it_fits_and_paragraphs_when_not() -> None:
    program = "from tsavo.cli.printing import print_table as p; p(('name', 'says'), [['a', '[b]x[/b]'], ['b', '{}']])"
    fits = on_a_terminal(program)
    assert "[b]x[/b]" in fits
    assert "name" in fits.splitlines()[0]
    assert "says" in fits.splitlines()[0]
    long = "y" * 70
    assert on_a_terminal(program.replace("{}", long)) == f"name  a\nsays  [b]x[/b]\n\nname  b\nsays  {long}\n"


def test_pairs_leave_out_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    print_pairs([("one", 1), ("nothing", None), ("zero", 0), ("no", False), ("none", [])])
    assert capsys.readouterr().out == "one   1\nzero  0\nno    no\n"


def test_json_takes_what_it_does_not_know_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"time": datetime(2026, 3, 1, tzinfo=UTC), "odd": complex(1, 2), "text": "ü\n"})
    assert capsys.readouterr().out == '{"time":"2026-03-01T00:00:00Z","odd":"(1+2j)","text":"ü\\n"}\n'


@given(st.text())
def test_no_text_can_steer_a_terminal(text: str) -> None:
    shown = as_text([text, {text: text}])
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
    assert shown.splitlines() in ([], [shown])


def test_ordinary_text_is_shown_as_it_is() -> None:
    assert as_text("Nairobi, São Paulo, 東京 🦁") == "Nairobi, São Paulo, 東京 🦁"
