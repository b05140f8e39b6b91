"""What the doctor says of journals: real ones, with what is wrong with them made on purpose."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tsavo.app.doctor_journal import examine_backlog, examine_damage, examine_gaps, examine_spill
from tsavo.journal import Bounds, Journal, JournalWriter, mend
from tsavo.storage import Home
from tsavo.vocabulary import OutcomeRecord, encode_record


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


def outcome(seconds_ago: float, size: int = 1) -> bytes:
    return encode_record(OutcomeRecord(time.time_ns() - int(seconds_ago * 1e9), "e", ["x" * size], [1.0]))


def filled(home: Home, *payloads: bytes) -> None:
    writer = JournalWriter(home.journal / "gateway-0.db")
    for payload in payloads:
        writer.append_blocking(payload)
    writer.close()


def test_what_waits_is_told_with_its_age(home: Home) -> None:
    filled(home, outcome(90), outcome(10))
    look = examine_backlog(home)
    assert look.ok
    assert look.found.startswith("2 records")
    assert "in 1 journals, the oldest for 9" in look.found


def test_a_journal_that_is_not_shipped_for_long_is_not_well(home: Home) -> None:
    filled(home, outcome(3 * 3600))
    look = examine_backlog(home)
    assert not look.ok
    assert "the oldest for 3.0 h" in look.found
    assert "keeper" in look.mend


def test_a_journal_that_is_nearly_full_is_not_well(home: Home) -> None:
    home.settings.write_text("[journal]\nmost_gib = 0.001\n")
    filled(home, *(outcome(1, 1_000_000) for _ in range(2)))
    look = examine_backlog(home)
    assert not look.ok
    assert "of journal.most_gib" in look.found


def test_a_second_place_must_be_there_and_on_another_disk(home: Home, tmp_path: Path) -> None:
    assert examine_spill(home).ok
    spill = tmp_path / "spill"
    home.settings.write_text(f'[journal]\nwhen_full = "spill"\nspill = "{spill}"\n')
    assert "is not a folder" in examine_spill(home).found
    spill.mkdir()
    look = examine_spill(home)
    assert not look.ok
    assert "on the same disk" in look.found


def test_damage_is_told_with_what_was_saved(home: Home) -> None:
    assert examine_damage(home).ok
    filled(home, *(outcome(1, 3_000) for _ in range(20)))
    path = home.journal / "gateway-0.db"
    content = bytearray(path.read_bytes())
    content[content.rindex(b"xxxx")] ^= 1
    path.write_bytes(content)
    look = examine_backlog(home)
    assert look.ok
    # Whoever reads that far finds it, and the keeper sees to it.
    with Journal(path) as journal:
        journal.read()
    mend(home.journal, time.time_ns())
    look = examine_damage(home)
    assert not look.ok
    assert "19 records saved, 1 lost (numbers " in look.found
    assert str(home.journal) in look.mend


def test_answers_without_a_record_are_told_for_ever(home: Home) -> None:
    assert examine_gaps(home).found == "none"
    path = home.journal / "gateway-0.db"
    writer = JournalWriter(path, when_full="answer-and-flag", bounds=Bounds(1, 0))
    assert writer._places.keep([b"1"], (), lambda: (1, [b"1"])) == "unrecorded"
    writer.close()
    filled(home, outcome(1))
    look = examine_gaps(home)
    assert look.ok
    assert look.found.startswith("answered and not recorded: 1 decisions from ")
