"""The power goes: only what was synced is on the disk for sure, and any part of the rest.

All that a writer does to its files is written down by the layer of `tests/journal/faults`, with the moments at which it
said that a record is on disk. Then the power is cut at random moments of that history, and the journal is opened as it
would be found.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.journal.bad_writer import BadWriter, numbers_in
from tests.journal.faults.disk import BadDisk, Change, changes, files_after, write_files
from tsavo.journal import Journal, JournalWriter, damage_reports

CUTS = 60


def history(folder: Path, tmp_path: Path, *, trims: bool, awaiters: int) -> tuple[list[Change], int]:
    """What a writer did to the disk, and up to which number its records were released."""
    disk = BadDisk(folder, tmp_path, log=True)
    assert disk.log is not None
    released = -1
    path = folder / "a.db"
    with BadWriter(path, disk, awaiters=awaiters, acks=str(folder / "acks")) as writer:
        writer.more("recorded", 60)
        for _ in range(3 if trims else 0):
            with Journal(path) as journal:
                rows = journal.read().rows
                journal.trim(journal.journal_id, rows[-1][0])
                released = max(released, *(int(payload.rstrip(b".")) for _, payload in rows))
            writer.more("recorded", 100)
        writer.more("recorded", 60)
    return list(changes(disk.log)), released


@pytest.mark.parametrize(
    ("trims", "awaiters"),
    [
        pytest.param(False, 8, id="appending-in-groups"),
        pytest.param(True, 1, id="while-records-are-removed"),
    ],
)
def test_what_was_said_to_be_on_disk_is_there_after_a_power_cut(
    tmp_path: Path, trims: bool, awaiters: int
) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    done, released = history(folder, tmp_path, trims=trims, awaiters=awaiters)
    acknowledgements = [at for at, change in enumerate(done) if change.path.endswith("/acks")]
    assert len(acknowledgements) > 100
    chance = random.Random(5)
    for _ in range(CUTS):
        cut = chance.randint(acknowledgements[0], len(done))
        said = {
            int(done[at].data)
            for at in acknowledgements
            if at < cut and done[at].call == "w" and done[at].data.strip()
        }
        after = tmp_path / "after"
        left = {
            path: content for path, content in files_after(done[:cut], chance).items() if "-shm" not in path
        }
        write_files(left, folder, after)
        writer = JournalWriter(after / "a.db")
        writer.append_blocking(b"999999999")
        writer.close()
        assert damage_reports(after) == []
        found = numbers_in(after)
        assert len(found) == len(set(found))
        missing = {number for number in said - set(found) if number > released}
        assert not missing, (cut, sorted(missing))
        assert found[-1] == 999999999
