"""A folder of backups says nothing that is not so."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tsavo.app.backups.store import BackupFolder, Kept, Listed
from tsavo.vocabulary import Damaged, NotFound, Unavailable

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def folder(path: Path) -> BackupFolder:
    made = BackupFolder(path / "backups")
    made.create()
    return made


def kept(store: BackupFolder, source: Path, place: str) -> Kept:
    digest, size = store.add(source)
    return Kept(place, digest, size, 0o640, 1_700_000_000_123_456_789)


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    store, source, target = folder(tmp_path), tmp_path / "source", tmp_path / "to" / "target"
    source.write_bytes(b"x" * 3_000_000)
    one = kept(store, source, "a/b")
    assert one.digest == hashlib.sha256(source.read_bytes()).hexdigest()
    store.copy_to(one, target)
    assert target.read_bytes() == source.read_bytes()
    assert (target.stat().st_mode & 0o777, target.stat().st_mtime_ns) == (0o640, one.changed)


def test_a_list_is_believed_only_as_it_was_written(tmp_path: Path) -> None:
    store, source = folder(tmp_path), tmp_path / "source"
    source.write_bytes(b"content")
    listed = Listed("one", NOW, "1.0", (kept(store, source, "a"),), ("a note",))
    store.write_list(listed)
    assert store.listed() == store.listed("one") == listed
    path = tmp_path / "backups" / "backups" / "one.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.chmod(0o600)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(Damaged):
            store.listed()
    path.write_bytes(whole[:-1])
    with pytest.raises(Damaged):
        store.listed("one")


def test_without_a_list_there_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        BackupFolder(tmp_path / "nowhere").listed()
    store = folder(tmp_path)
    with pytest.raises(NotFound, match="no such backup"):
        store.listed("../../etc/passwd")


def test_a_file_that_is_not_what_was_kept_is_noticed(tmp_path: Path) -> None:
    store, source = folder(tmp_path), tmp_path / "source"
    source.write_bytes(b"content")
    one = kept(store, source, "a")
    path = store.path(one.digest)
    path.chmod(0o600)
    path.write_bytes(b"contenT")
    assert store.holds(one, verify=False)
    assert not store.holds(one, verify=True)
    with pytest.raises(Damaged, match="not what was kept"):
        store.copy_to(one, tmp_path / "target")
    path.unlink()
    assert not store.holds(one, verify=False)
    with pytest.raises(Damaged):
        store.copy_to(one, tmp_path / "target")


def test_old_backups_go_with_what_only_they_named(tmp_path: Path) -> None:
    store = folder(tmp_path)
    every = []
    for number in range(4):
        source = tmp_path / f"source-{number}"
        source.write_bytes(f"content {number}".encode())
        every.append(kept(store, source, f"{number}"))
        store.write_list(Listed(f"{number}", NOW, "1.0", tuple(every[max(0, number - 1) :])))
    assert store.drop_all_but(2) == 1
    assert store.ids() == ["2", "3"]
    assert [store.holds(one, verify=True) for one in every] == [False, True, True, True]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="cannot be written"):
        BackupFolder(tmp_path / "file" / "backups").create()
