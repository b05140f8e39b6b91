"""Keys of an erased subject, destroyed in backups as well.

A backup has the store of keys as one of its files. A copy without the keys takes its place in every list that names it,
and the old file is overwritten and removed; everything else of the backup stays as it is.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from tsavo.actions import BackupsErased
from tsavo.app.backups.store import BackupFolder, Kept
from tsavo.privacy import destroy_keys
from tsavo.storage import Home, write_atomically
from tsavo.vocabulary import TsavoError

__all__ = ["KEYS", "catch_up", "erase_in_backups", "known_folders", "note_folder"]

KEYS: Final = "keys/keys.db"
_CHUNK: Final = 1 << 20
_BUSY_SECONDS: Final = 30.0


def known_folders(home: Home) -> list[str]:
    """Folders into which this home was backed up."""
    try:
        return msgspec.json.decode(home.backups.read_bytes(), type=list[str])
    except (OSError, msgspec.MsgspecError):
        return []


def note_folder(home: Home, folder: Path) -> None:
    """Have the home know of a folder of backups."""
    known = known_folders(home)
    if str(folder) not in known:
        write_atomically(home.backups, msgspec.json.encode([*known, str(folder)]))


def erase_in_backups(
    folders: Iterable[str], subjects: Mapping[str, Sequence[bytes]], files: Sequence[str], now: datetime
) -> BackupsErased:
    """Destroy keys in every backup of these folders that can be reached.

    Parameters
    ----------
    subjects
        Pseudonyms, and the keys that are known to be theirs: a backup may have some from before that was known.
    files
        Files that left the home because they named the subject in plain text: places, or names that are digests.
    """
    destroyed: dict[str, int] = {}
    unreached: list[str] = []
    found: dict[str, str] = {}
    left = frozenset(files)
    for folder in dict.fromkeys(folders):
        store = BackupFolder(Path(folder))
        try:
            if not store.ids():
                unreached.append(folder)
                continue
            with store.writing() as scratch:
                destroyed[folder] = _erase(store, scratch, subjects, now)
            for name in store.ids():
                if any({kept.path, Path(kept.path).name} & left for kept in store.listed(name).files):
                    found[f"backup {name} in {folder}"] = (
                        "it names the person in plain text: make a new backup, then remove this one"
                    )
        except (TsavoError, OSError, sqlite3.Error) as error:
            unreached.append(folder)
            found[f"backups in {folder}"] = f"they could not be changed: {error}"
    return BackupsErased(destroyed, tuple(unreached), found)


def catch_up(home: Home, folder: Path, now: datetime) -> int:
    """Destroy, in the backups of a folder, the keys of everybody who was ever erased here; return how many there were.

    A folder may have been out of reach when they were.
    """
    path = home.root / KEYS
    if not path.is_file():
        return 0
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
    try:
        subjects: dict[str, list[bytes]] = {}
        gone = "SELECT subject, id FROM keys WHERE wrapped IS NULL AND subject IS NOT NULL"
        for subject, key_id in connection.execute(gone):
            subjects.setdefault(subject, []).append(key_id)
    finally:
        connection.close()
    seen = erase_in_backups([str(folder)], subjects, (), now) if subjects else None
    return 0 if seen is None else sum(seen.destroyed.values())


def _erase(store: BackupFolder, scratch: Path, subjects: Mapping[str, Sequence[bytes]], now: datetime) -> int:
    """Destroy keys in every backup of one folder; return how many copies of keys there were."""
    total = 0
    replaced: dict[str, tuple[str, int]] = {}
    for name in store.ids():
        listed = store.listed(name)
        old = next((kept for kept in listed.files if kept.path == KEYS), None)
        if old is None:
            continue
        if old.digest not in replaced:
            count, copy = _without(store, old, scratch, subjects, now)
            total += count
            replaced[old.digest] = store.add(copy) if count else (old.digest, old.bytes)
        digest, size = replaced[old.digest]
        if digest != old.digest:
            new = msgspec.structs.replace(old, digest=digest, bytes=size, changed=0)
            files = tuple(new if kept.path == KEYS else kept for kept in listed.files)
            store.write_list(msgspec.structs.replace(listed, files=files))
    for digest, (other, _) in replaced.items():
        if other != digest:
            _overwrite(store.path(digest))
    return total


def _without(
    store: BackupFolder, old: Kept, scratch: Path, subjects: Mapping[str, Sequence[bytes]], now: datetime
) -> tuple[int, Path]:
    """A copy of a backup's keys without those of some subjects, and how many it had of theirs."""
    copy = scratch / old.digest
    shutil.copyfile(store.path(old.digest), copy)
    copy.chmod(0o600)
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        living = "SELECT count(*) FROM keys WHERE wrapped IS NOT NULL"
        before = connection.execute(living).fetchone()[0]
        for pseudonym, ids in subjects.items():
            destroy_keys(connection, pseudonym, ids, int(now.timestamp() * 1e9))
        after = connection.execute(living).fetchone()[0]
        connection.execute("COMMIT")
    finally:
        connection.close()
    return before - after, copy


def _overwrite(path: Path) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        left = path.stat().st_size
        while left:
            left -= file.write(bytes(min(left, _CHUNK)))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
