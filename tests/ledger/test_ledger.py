"""The log as its writer keeps it: nothing signed is ever lost, whatever was torn."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.examples import SteppingClock
from tsavo.ledger import Ledger, LedgerReader, is_proven
from tsavo.ledger.segments import SEGMENT_ENTRIES
from tsavo.ledger.tree import is_consistent
from tsavo.vocabulary import Conflict, Damaged, Invalid, NotFound


def opened(folder: Path) -> Ledger:
    return Ledger(folder / "ledger", folder / "cache", SteppingClock())


def notes(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"kind": "note", "what": f"number {start + number} ü"} for number in range(count)]


def lines_of(folder: Path) -> list[bytes]:
    return b"".join(
        path.read_bytes() for path in sorted((folder / "ledger" / "segments").iterdir())
    ).splitlines(keepends=True)


def test_every_entry_can_be_proven_to_somebody_who_knows_the_key_alone(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(notes(21))
    head = log.sign()
    key = log.public_key
    log.close()
    reader = LedgerReader(tmp_path / "ledger")
    for number in range(head.size):
        proof = reader.inclusion(number)
        assert proof.head == head
        assert json.loads(proof.entry)["number"] == number
        assert is_proven(proof, key)
    with pytest.raises(NotFound):
        reader.inclusion(head.size)
    other = opened(tmp_path / "other")
    assert not is_proven(reader.inclusion(3), other.public_key)
    other.close()


def test_a_later_head_continues_an_earlier_one(tmp_path: Path) -> None:
    log = opened(tmp_path)
    heads = []
    for size in (1, 2, 5, 9):
        log.append(notes(size))
        heads.append(log.sign())
    reader = LedgerReader(tmp_path / "ledger")
    for first in heads:
        for second in heads:
            if first.size <= second.size:
                proof = reader.consistency(first.size, second.size)
                path = [bytes.fromhex(step) for step in proof.path]
                roots = bytes.fromhex(first.root), bytes.fromhex(second.root)
                assert is_consistent(first.size, second.size, path, *roots)
    with pytest.raises(Invalid):
        reader.consistency(5, heads[-1].size + 1)
    log.close()


def test_nothing_new_is_not_signed_again(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert log.sign() == log.sign()
    log.append(notes(1))
    assert log.sign().size == 2
    log.close()


def test_a_batch_larger_than_a_segment_is_cut_into_segments(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert log.append(notes(2 * SEGMENT_ENTRIES + 5)) == range(1, 2 * SEGMENT_ENTRIES + 6)
    head = log.sign()
    log.close()
    names = sorted(path.name for path in (tmp_path / "ledger" / "segments").iterdir())
    assert names == ["000000000000.jsonl", "000000004096.jsonl", "000000008192.jsonl"]
    log = opened(tmp_path)
    assert log.size == head.size == 2 * SEGMENT_ENTRIES + 6
    assert [json.loads(line)["number"] for line in lines_of(tmp_path)] == list(range(head.size))
    log.close()


@pytest.mark.parametrize("zeros", [False, True], ids=["torn", "zeros"])
def test_wherever_a_write_was_torn_what_was_signed_is_there(tmp_path: Path, zeros: bool) -> None:
    log = opened(tmp_path)
    log.append(notes(3))
    signed = log.sign()
    log.append(notes(2, 100))
    log.close()
    segment = tmp_path / "ledger" / "segments" / "000000000000.jsonl"
    whole = segment.read_bytes()
    believed = len(b"".join(whole.splitlines(keepends=True)[: signed.size]))
    tree = (tmp_path / "ledger" / "tree").read_bytes()
    ends = [place for place in range(believed, len(whole)) if b"\n" in whole[place - 1 : place + 1]]
    for length in sorted({*range(believed, len(whole), 7), *ends, len(whole) - 1}):
        segment.write_bytes(whole[:length] + bytes(len(whole) - length) * zeros)
        (tmp_path / "ledger" / "tree").write_bytes(tree)
        again = opened(tmp_path)
        complete = whole[:length].count(b"\n")
        cut = not whole[:length].endswith(b"\n") or zeros
        assert again.size == complete + cut
        assert lines_of(tmp_path)[:complete] == whole.splitlines(keepends=True)[:complete]
        if cut:
            assert json.loads(lines_of(tmp_path)[-1])["kind"] == "cut"
        assert LedgerReader(tmp_path / "ledger").consistency(signed.size).first_root == signed.root
        head = again.sign()
        assert is_proven(LedgerReader(tmp_path / "ledger").inclusion(head.size - 1), again.public_key)
        again.close()
        # As it was before the next try.
        (tmp_path / "ledger" / "head.json").write_bytes(signed.line())


def test_what_was_signed_and_is_gone_is_damage(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(notes(5))
    log.sign()
    log.close()
    segment = tmp_path / "ledger" / "segments" / "000000000000.jsonl"
    whole = segment.read_bytes()
    for broken in (
        whole[:-1],
        b"".join(whole.splitlines(keepends=True)[:-1]),
        whole.replace(b"number 3", b"number 7"),
        b"",
    ):
        segment.write_bytes(broken)
        (tmp_path / "ledger" / "tree").write_bytes(b"")
        with pytest.raises(Damaged, match="not what was signed"):
            opened(tmp_path)
        assert segment.read_bytes() == broken
    segment.write_bytes(whole)
    opened(tmp_path).close()


@pytest.mark.parametrize("damage", [b"", b"\0" * 3000, b"short"], ids=["empty", "zeros", "short"])
def test_a_lost_tree_is_made_again(tmp_path: Path, damage: bytes) -> None:
    log = opened(tmp_path)
    log.append(notes(30))
    head = log.sign()
    log.close()
    tree = tmp_path / "ledger" / "tree"
    whole = tree.read_bytes()
    tree.write_bytes(damage)
    again = opened(tmp_path)
    assert again.sign() == head
    assert tree.read_bytes() == whole
    again.close()


def test_a_lost_or_foreign_index_is_made_again(tmp_path: Path) -> None:
    log = opened(tmp_path)
    files = [{"path": "lake/t/a", "size": 1, "sha256": "aa"}, {"path": "lake/t/b", "size": 2, "sha256": "bb"}]
    log.append([{"kind": "files", "files": files}, {"kind": "files", "deleted": ["lake/t/a"]}])
    expected = log.index.files("lake/t")
    log.close()
    index = tmp_path / "cache" / "ledger.db"
    for change in (index.unlink, lambda: index.write_bytes(b"no database"), lambda: _set_root(index)):
        for suffix in ("-wal", "-shm"):
            index.with_name(index.name + suffix).unlink(missing_ok=True)
        change()
        again = opened(tmp_path)
        assert again.index.files("lake/t") == expected
        again.close()
    assert list(expected) == ["lake/t/b"]


def _set_root(index: Path) -> None:
    connection = sqlite3.connect(index)
    connection.execute("UPDATE state SET value = 'other' WHERE name = 'root'")
    connection.execute("DELETE FROM files")
    connection.commit()
    connection.close()


def test_a_head_that_was_under_way_when_the_writer_was_killed_is_no_part_of_the_log(tmp_path: Path) -> None:
    log = opened(tmp_path)
    head = log.sign()
    log.close()
    (tmp_path / "ledger" / ".head.json.abc123").write_bytes(b'{"origin"')
    log = opened(tmp_path)
    assert log.sign() == head
    log.close()
    names = {path.name for path in (tmp_path / "ledger").iterdir()}
    assert names == {"key.pem", "key.pub", "head.json", "tree", "segments"}


def test_an_index_that_could_not_be_written_catches_up(tmp_path: Path) -> None:
    log = opened(tmp_path)
    holder = sqlite3.connect(tmp_path / "cache" / "ledger.db", isolation_level=None)
    log.index._connection.execute("PRAGMA busy_timeout=10")
    holder.execute("BEGIN IMMEDIATE")
    file = {"path": "lake/t/a", "size": 1, "sha256": "aa"}
    assert log.append([{"kind": "files", "files": [file]}]) == range(1, 2)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        log.append(notes(1))
    assert log.size == 2
    holder.execute("ROLLBACK")
    holder.close()
    assert log.append(notes(1)) == range(2, 3)
    assert list(log.index.files("lake/t")) == ["lake/t/a"]
    log.close()


def test_a_log_has_one_writer(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(Conflict, match="another process"):
        opened(tmp_path)
    log.close()
    opened(tmp_path).close()


def test_a_log_without_its_key_does_not_go_on_under_another(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.sign()
    log.close()
    key = tmp_path / "ledger" / "key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    own = key.read_bytes()
    key.unlink()
    with pytest.raises(Damaged, match="signing key"):
        opened(tmp_path)
    other = opened(tmp_path / "other")
    other.close()
    shutil.copy(tmp_path / "other" / "ledger" / "key.pem", key)
    with pytest.raises(Damaged, match="not what was signed"):
        opened(tmp_path)
    key.write_bytes(own)
    opened(tmp_path).close()


@pytest.mark.parametrize("full", ["segments", "tree"])
def test_a_full_disk_leaves_no_half_line(tmp_path: Path, full: str) -> None:
    log = opened(tmp_path)
    # There are many segments and one tree, which outgrows them.
    log.append(notes(3 if full == "segments" else 6000))
    before = lines_of(tmp_path)
    most = len(b"".join(before)) + 150
    if full == "tree":
        most = (tmp_path / "ledger" / "tree").stat().st_size + 40
        assert most > (tmp_path / "ledger" / "segments" / "000000004096.jsonl").stat().st_size + 1000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # In the middle of the second of the lines, or hashes, that follow.
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            log.append(notes(5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert lines_of(tmp_path) == before
    assert log.append(notes(2)) == range(len(before), len(before) + 2)
    head = log.sign()
    log.close()
    log = opened(tmp_path)
    assert log.sign() == head
    log.close()


_WRITER = """
import sys
from pathlib import Path
from tsavo.ledger import Ledger
from tsavo.storage import SystemClock
folder = Path(sys.argv[1])
log = Ledger(folder / "ledger", folder / "cache", SystemClock())
print("ready", flush=True)
number = 0
while True:
    number += 1
    log.append([{"kind": "note", "what": "x" * number}] * (number % 7 + 1))
    print(f"believed {log.size}", flush=True)
    if number % 5 == 0:
        head = log.sign()
        print(f"signed {head.size} {head.root}", flush=True)
"""


def test_a_writer_killed_at_any_moment_loses_nothing_that_it_was_sure_of(tmp_path: Path) -> None:
    random = Random(20261121)
    believed = 0
    roots: dict[int, str] = {}
    for _ in range(8):
        words = [sys.executable, "-c", _WRITER, str(tmp_path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(random.random() * 0.1)
            process.kill()
            told = process.stdout.read().decode().splitlines(keepends=True)
        for line in told:
            if line.endswith("\n"):
                word, size, *root = line.split()
                believed = max(believed, int(size))
                if word == "signed":
                    roots[int(size)] = root[0]
    log = opened(tmp_path)
    assert log.size >= believed
    assert roots
    head = log.sign()
    reader = LedgerReader(tmp_path / "ledger")
    for signed, known in roots.items():
        assert reader.consistency(signed, head.size).first_root == known
    lines = lines_of(tmp_path)
    assert [json.loads(line)["number"] for line in lines] == list(range(head.size))
    assert all(is_proven(reader.inclusion(number), log.public_key) for number in range(0, head.size, 97))
    log.close()
