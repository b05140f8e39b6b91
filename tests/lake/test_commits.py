"""What the log says of the lake: every file, whoever wrote it, and whatever crashed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.examples import SteppingClock
from tests.lake.scene import Scene, decision, outcome, row_id
from tsavo.lake import CommitLog
from tsavo.ledger import Ledger, LedgerReader


class Logged:
    """A home whose lake is logged."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene(folder)
        self.folder = folder
        self.open()

    def open(self) -> None:
        self.ledger = Ledger(self.folder / "ledger", self.folder / "cache", SteppingClock())
        self.log = CommitLog(self.folder / "lake", self.ledger)
        self.scene.lake.log_to(self.log)

    def crash(self) -> None:
        """What a killed keeper leaves: what it had not flushed is forgotten."""
        self.ledger.close()
        self.scene = Scene(self.folder)

    def entries(self) -> list[dict[str, Any]]:
        reader = LedgerReader(self.folder / "ledger")
        self.ledger.sign()
        return [json.loads(reader.inclusion(number).entry) for number in range(self.ledger.size)]

    def folded(self) -> dict[str, tuple[int, str]]:
        """The files that the log says are there, by a fold of its entries."""
        files: dict[str, tuple[int, str]] = {}
        for entry in self.entries():
            for file in entry.get("files", ()):
                files[file["path"]] = (file["size"], file["sha256"])
            for path in entry.get("deleted", ()):
                del files[path]
        return files

    def present(self) -> dict[str, tuple[int, str]]:
        """The files that are there."""
        found = {}
        for path in sorted((self.folder / "lake").rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                name = path.relative_to(self.folder).as_posix()
                found[name] = (len(content), hashlib.sha256(content).hexdigest())
        return found

    def found(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for entry in self.entries():
            if "found" in entry:
                counts[entry["found"]] = counts.get(entry["found"], 0) + 1
        return counts


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Logged]:
    logged = Logged(tmp_path)
    yield logged
    logged.ledger.close()


def test_the_log_knows_every_file_of_the_lake(home: Logged) -> None:
    for number in range(25):
        home.scene.write(decision(number), decision(1000 + number, endpoint="other", rows=3))
        home.scene.lake.ship()
    home.scene.write(outcome([row_id(3), row_id(4)], [1, 0]))
    home.scene.lake.ship()
    assert home.folded() == home.present()
    assert set(home.found()) == {"written"}


def test_an_entry_says_which_records_of_which_journal_came_to_which_file(home: Logged) -> None:
    home.scene.write(decision(1), decision(2))
    home.scene.lake.ship()
    home.scene.write(decision(3, rows=5))
    home.scene.lake.ship()
    commits = [entry for entry in home.entries() if entry["kind"] == "commit" and "journals" in entry]
    ranges = [(entry["journals"][0]["first"], entry["journals"][0]["last"]) for entry in commits]
    assert ranges == [(1, 2), (3, 3)]
    assert [entry["files"][1]["rows"] for entry in commits] == [2, 5]


def test_merging_and_deleting_are_logged(home: Logged) -> None:
    for number in range(20):
        home.scene.write(decision(number))
        home.scene.lake.ship()
    home.scene.lake.maintain(most_small_files=2)
    home.log.flush()
    assert home.folded() == home.present()
    assert set(home.found()) == {"written"}
    assert any(entry.get("removed") for entry in home.entries())


def test_a_commit_that_a_crash_kept_out_is_held_against_the_journal(home: Logged) -> None:
    home.scene.write(decision(1), decision(2, rows=4))
    # Committed and never flushed: the journal is not trimmed either.
    shipper = home.scene.lake._shipper
    entries = [entry for journal in shipper._open() for entry in [journal.read(0)]]
    shipper._take_in(entries[0])
    for queue in shipper._waiting.due(None):
        shipper._commit(queue, {})
    home.crash()
    home.open()
    home.scene.write(decision(3))
    home.scene.lake.ship()
    assert home.folded() == home.present()
    assert home.found() == {"recovered": 2, "written": 1}
    assert home.scene.lake.sql("select count(*) as n from decisions").to_pylist() == [{"n": 6}]


def test_somebody_elses_commit_is_unexpected(home: Logged) -> None:
    home.scene.write(decision(1))
    home.scene.lake.ship()
    table = DeltaTable(str(home.folder / "lake" / "decisions" / "credit-risk"))
    forged = pa.table(table.to_pyarrow_table())
    write_deltalake(table, forged, mode="append")
    home.scene.write(decision(2))
    home.scene.lake.ship()
    assert home.folded() == home.present()
    (entry,) = [entry for entry in home.entries() if entry.get("found") == "unexpected"]
    assert entry["table"] == "lake/decisions/credit-risk"
    assert entry["version"] == table.version()
    assert home.ledger.index.unexpected() == [entry["number"]]


def test_a_commit_that_says_other_than_the_journal_is_unexpected(home: Logged) -> None:
    home.scene.write(decision(1), decision(2))
    shipper = home.scene.lake._shipper
    (journal,) = shipper._open()
    shipper._take_in(journal.read(0))
    for queue in shipper._waiting.due(None):
        shipper._commit(queue, {})
    home.crash()
    # While the keeper was away, somebody rewrote what it had committed.
    table = home.folder / "lake" / "decisions" / "credit-risk"
    (file,) = table.rglob("*.parquet")
    rows = pa.parquet.read_table(file, partitioning=None)
    pa.parquet.write_table(rows.set_column(0, "decision_id", pa.array(["forged:0", "forged:1"])), file)
    home.open()
    home.scene.write(decision(3))
    home.scene.lake.ship()
    assert home.found()["unexpected"] == 1


def test_a_sweep_names_what_was_put_there_and_not_what_was_taken(home: Logged) -> None:
    home.scene.write(decision(1), decision(2, endpoint="other"))
    home.scene.lake.ship()
    table = home.folder / "lake" / "decisions" / "credit-risk"
    (data,) = table.rglob("*.parquet")
    shutil.copy(data, data.with_name("part-left-over.parquet"))
    (table / "_delta_log" / "00000000000000000900.checkpoint.parquet").write_bytes(b"forged")
    (home.folder / "lake" / "note.txt").write_bytes(b"hello")
    lost = next((home.folder / "lake" / "decisions" / "other").rglob("*.parquet"))
    lost.unlink()
    home.log.sweep()
    home.ledger.sign()
    entries = [entry for entry in home.entries() if entry["kind"] == "files"]
    named = {file["path"]: entry["found"] for entry in entries for file in entry["files"]}
    name = data.with_name("part-left-over.parquet").relative_to(home.folder).as_posix()
    assert named == {
        name: "recovered",
        "lake/decisions/credit-risk/_delta_log/00000000000000000900.checkpoint.parquet": "unexpected",
        "lake/note.txt": "unexpected",
    }
    # The log goes on saying that the lost file should be there.
    assert lost.relative_to(home.folder).as_posix() in home.folded()
    assert home.log.sweep() == 0


def test_the_newest_commit_cannot_be_taken_back_unnoticed(home: Logged) -> None:
    for number in range(3):
        home.scene.write(decision(number))
        home.scene.lake.ship()
    log = home.folder / "lake" / "decisions" / "credit-risk" / "_delta_log"
    newest = max(log.glob("*.json"))
    newest.unlink()
    home.log.sweep()
    assert newest.relative_to(home.folder).as_posix() in home.folded()


def test_what_was_committed_when_writing_failed_is_not_taken_for_ours(home: Logged) -> None:
    home.scene.write(decision(1))
    home.scene.lake.ship()
    path = home.folder / "lake" / "decisions" / "credit-risk"
    rows = pa.table(DeltaTable(str(path)).to_pyarrow_table())
    with pytest.raises(OSError, match="disk"), home.log.watching(path, lambda between: rows):
        write_deltalake(path, rows, mode="append")
        raise OSError("the disk is full after the commit")
    home.log.flush()
    # No journal stands behind it: it is no wonder that it is not believed.
    assert home.found() == {"written": 2, "unexpected": 1}
    assert home.folded() == home.present()
