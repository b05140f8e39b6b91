"""The journals' content, remembered between two looks, is what is in them."""

from __future__ import annotations

import shutil

import pytest

from tests.lake.scene import Scene, decision, outcome, row_id
from tsavo.journal import Journal
from tsavo.lake.tail import TailReader
from tsavo.vocabulary import Record, Unavailable, decode_record


def numbers(reader: TailReader) -> list[int]:
    return [entry.seq for entry in reader.read().decided]


def test_only_what_is_new_is_decoded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def counted(payload: bytes) -> Record:
        decoded.append(payload)
        return decode_record(payload)

    monkeypatch.setattr("tsavo.lake.tail.decode_record", counted)
    reader = TailReader(scene.journals)
    scene.write(decision(1), decision(2))
    assert numbers(reader) == [1, 2]
    scene.write(decision(3), b"nonsense", outcome([row_id(1)], [1]))
    assert numbers(reader) == [1, 2, 3]
    assert numbers(reader) == [1, 2, 3]
    assert [entry.seq for entry in reader.read().resolved] == [5]
    assert len(decoded) == 5


def test_what_was_trimmed_is_forgotten(scene: Scene) -> None:
    reader = TailReader(scene.journals)
    scene.write(decision(1), decision(2), decision(3))
    assert numbers(reader) == [1, 2, 3]
    with Journal(scene.journals / "gateway-0.db") as journal:
        journal.trim(journal.journal_id, 2)
    assert numbers(reader) == [3]
    scene.ship()
    assert numbers(reader) == []


def test_a_journal_that_was_put_back_is_read_anew(scene: Scene) -> None:
    reader = TailReader(scene.journals)
    scene.write(decision(1))
    kept = scene.folder / "kept"
    shutil.copytree(scene.journals, kept)
    scene.write(decision(2, endpoint="lost"), decision(3, endpoint="lost"))
    assert numbers(reader) == [1, 2, 3]
    shutil.rmtree(scene.journals)
    shutil.copytree(kept, scene.journals)
    scene.write(decision(4, endpoint="other"))
    assert [(entry.seq, entry.record.endpoint) for entry in reader.read().decided] == [
        (1, "credit-risk"),
        (2, "other"),
    ]


def test_entries_of_an_endpoint_are_found_by_its_name(scene: Scene) -> None:
    scene.write(*[decision(number, endpoint=f"e{number % 3}") for number in range(9)])
    scene.write(outcome([row_id(1)], [1], endpoint="e1"))
    tail = TailReader(scene.journals).read()
    assert tail.endpoints() == {"e0", "e1", "e2"}
    assert [entry.seq for entry in tail.decided_after("e1", None)] == [2, 5, 8]
    assert [entry.seq for entry in tail.resolved_after("e1", None)] == [10]
    assert tail.decided_after("nobody", None) == []


def test_more_than_fits_in_memory_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsavo.lake.tail._MOST_BYTES", 1_000)
    scene.write(*[decision(number) for number in range(10)])
    with pytest.raises(Unavailable, match="more decisions than can be read"):
        TailReader(scene.journals).read()
