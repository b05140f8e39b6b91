"""A copy of a home at one moment, made while everything runs.

The keeper waits while the moment is taken: what lies in the lake is listed, and the journals, the registry and the log
are copied, in that order. A record that was not shipped when the lake was listed is then in its journal's copy; one
that is in both is known by its table's position, as after a crash. Callers never wait: gateways go on writing, and
what they answer during the copy belongs to the next one. The lake's files and the artifacts never change, so
they are copied afterwards.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tsavo.app.backups.erasing import KEYS, catch_up, note_folder
from tsavo.app.backups.store import BackupFolder, Kept, Listed
from tsavo.app.settings import Settings
from tsavo.journal import journals
from tsavo.registry import copy_registry
from tsavo.storage import Database, Home, taking_turns
from tsavo.vocabulary import Conflict, NotFound

__all__ = ["BackedUp", "back_up"]

# Of a running process, or made again when they are missed.
_LEFT_OUT: Final = frozenset({"cache", "environments", "logs", "run", "work"})
# Copied while the keeper waits.
_AT_ONCE: Final = frozenset({"journal", "lake", "ledger", "keys"})
_MINUTE: Final = 60.0
# Beside a database while it is open; the copy has what is in them.
_OF_SQLITE: Final = ("-wal", "-shm", "-journal")
_LOG_ENTRIES: Final = "_delta_log"


class BackedUp(msgspec.Struct, frozen=True):
    """What a backup came to: how many files and bytes it has, and how many of them were new."""

    id: str
    files: int
    bytes: int
    new_files: int
    new_bytes: int
    notes: tuple[str, ...]


class _Copied(NamedTuple):
    """A file at its place in the home, and what is copied: itself, or a copy of a database that is open."""

    path: str
    source: Path
    mode: int
    changed: int
    bytes: int


def back_up(
    home: Home,
    settings: Settings,
    folder: Path,
    *,
    now: datetime,
    keep: int | None = None,
    verify: bool = True,
    tell: Callable[[str], None] | None = None,
) -> BackedUp:
    """Copy a home, running or stopped, into a folder of backups.

    Parameters
    ----------
    keep
        So many backups stay, the oldest go; ``None`` keeps all.
    verify
        Read files again that an earlier backup has copied, and copy them anew when they are not what they were.
    tell
        Is told what is being done.

    Raises
    ------
    NotFound
        There is no home.
    Conflict
        The folder lies in the home, or files of the lake were deleted meanwhile.
    Unavailable
        The folder cannot be written.
    """
    _check(home, folder)
    store = BackupFolder(folder)
    store.create()
    known = {kept.path: kept for kept in store.listed().files} if store.ids() else {}
    say = tell or (lambda _: None)
    with store.writing() as scratch:
        known = {kept.path: kept for kept in store.listed().files} if store.ids() else {}
        run = _Run(home, store, known, verify=verify)
        say("waiting for the keeper to finish its round")
        with taking_turns(home.lake_turn):
            run.take(*_databases(home, settings, scratch), *_files(home, "ledger"))
            lake = list(_files(home, "lake"))
            # The one file of a table that is written over; the others never change.
            run.take(*(found for found in lake if _written_over(found)))
            # After all that was sealed with them: a key is on disk before it is used.
            run.take(*_keys(home, scratch))
        say(f"copying {len(lake):,} files of the lake, and the artifacts")
        run.take(*(found for found in lake if not _written_over(found)))
        for entry in sorted(os.scandir(home.root), key=lambda entry: entry.name):
            if entry.name not in _LEFT_OUT | _AT_ONCE | {home.registry.name}:
                run.take(*_files(home, entry.name))
        notes = _notes(settings)
        name = now.strftime("%Y%m%dT%H%M%S.%fZ")
        store.write_list(Listed(name, now, version("tsavo"), tuple(run.files), notes))
        if keep is not None:
            store.drop_all_but(keep)
    with suppress(OSError):
        # So that who is erased is erased there as well.
        note_folder(home, folder.absolute())
    # It may have been away when somebody was. Only keys that are alive here went into the new backup.
    catch_up(home, folder.absolute(), now)
    total, fresh = (sum(kept.bytes for kept in files) for files in (run.files, run.new))
    return BackedUp(name, len(run.files), total, len(run.new), fresh, notes)


class _Run:
    """What one backup has taken, and what of it no earlier one had."""

    def __init__(self, home: Home, store: BackupFolder, known: Mapping[str, Kept], *, verify: bool) -> None:
        self._home = home
        self._store = store
        self._known = known
        self._verify = verify
        self.files: list[Kept] = []
        self.new: list[Kept] = []

    def take(self, *found: _Copied) -> None:
        """Take files, in their order; what an earlier backup has is not copied again."""
        for one in found:
            before = self._known.get(one.path)
            same = (
                before is not None
                and one.changed
                and (one.bytes, one.changed) == (before.bytes, before.changed)
            )
            if before is not None and same and self._store.holds(before, verify=self._verify):
                self.files.append(before)
                continue
            try:
                digest, size = self._store.add(one.source)
            except FileNotFoundError:
                if _LOG_ENTRIES in one.path:
                    continue  # an entry of a table's log that a later checkpoint holds, too
                raise _gone(one.path) from None
            self.files.append(Kept(one.path, digest, size, one.mode, one.changed))
            if before is None or before.digest != digest:
                self.new.append(self.files[-1])


def _keys(home: Home, scratch: Path) -> Iterator[_Copied]:
    """The keys of data subjects, and the master key where it lies in the home."""
    store = home.root / KEYS
    if store.is_file():
        copy = scratch / "keys"
        _copy_sqlite(store, copy)
        yield _Copied(KEYS, copy, 0o600, 0, copy.stat().st_size)
    yield from (found for found in _files(home, "keys") if found.path != KEYS)


def _written_over(found: _Copied) -> bool:
    return found.path.endswith("_last_checkpoint")


def _check(home: Home, folder: Path) -> None:
    if not home.root.is_dir() or not (home.registry.is_file() or home.settings.is_file()):
        raise NotFound(
            "there is no Tsavo home here",
            field="home",
            found=str(home.root),
            next_step="name another one with --home DIR",
        )
    if folder.absolute().resolve().is_relative_to(home.root.resolve()):
        raise Conflict(
            "a backup cannot lie in the home that it is of",
            field="folder",
            found=str(folder),
            expected="a folder elsewhere, best on another disk",
        )


def _gone(path: str) -> Conflict:
    return Conflict(
        "a file was deleted while it was waiting to be copied",
        field="home",
        found=path,
        next_step="run the backup again: it goes on where this one was",
    )


def _files(home: Home, part: str) -> Iterator[_Copied]:
    """Everything in one folder of the home, or one file."""
    start = home.root / part
    if start.is_file():
        yield _copied(home, start)
    for folder, _, names in os.walk(start):
        for name in names:
            path = Path(folder, name)
            # Drafts, databases' side files, and links to elsewhere are no part of a home.
            if not name.startswith(".") and not name.endswith(_OF_SQLITE) and not path.is_symlink():
                yield _copied(home, path)


def _copied(home: Home, path: Path) -> _Copied:
    status = path.stat()
    place = path.relative_to(home.root).as_posix()
    return _Copied(place, path, status.st_mode & 0o777, status.st_mtime_ns, status.st_size)


def _databases(home: Home, settings: Settings, scratch: Path) -> Iterator[_Copied]:
    """The journals, and then the registry: what a record names was registered before it."""
    for number, path in enumerate(journals(home.journal)):
        copy = scratch / f"journal-{number}"
        _copy_sqlite(path, copy)
        yield _Copied(_place(home, path), copy, 0o600, 0, copy.stat().st_size)
        for side in path.parent.glob(f"{path.name}-*"):
            if not side.name.endswith((*_OF_SQLITE, "-writer")):
                yield _copied(home, side)._replace(path=_place(home, side), changed=0)
    copy = scratch / "registry"
    if settings.storage.registry:
        with_url = Database(settings.storage.registry)
        target = Database(f"sqlite:///{copy}")
        try:
            copy_registry(with_url, target)
        finally:
            with_url.close()
            target.close()
        _copy_sqlite(copy, scratch / "registry-whole")
        copy = scratch / "registry-whole"
    elif home.registry.is_file():
        _copy_sqlite(home.registry, copy)
    else:
        return
    yield _Copied(home.registry.name, copy, 0o600, 0, copy.stat().st_size)


def _place(home: Home, journal: Path) -> str:
    """Where a journal lies in a restored home: what was on a second disk is in a folder, and not in the link's way."""
    place = journal.relative_to(home.root)
    if journal.parent.is_symlink():
        place = place.parent.with_name(f"{place.parent.name}-restored") / place.name
    return place.as_posix()


def _copy_sqlite(source: Path, target: Path) -> None:
    """A consistent copy of a database that others write to; they do not wait."""
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=_MINUTE)
    writing = sqlite3.connect(target)
    try:
        # All at once: page by page, a writer would make it begin again and again.
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode=DELETE")
    finally:
        writing.close()
        reading.close()


def _notes(settings: Settings) -> tuple[str, ...]:
    notes = []
    if settings.storage.artifacts:
        notes.append(
            f"the artifacts lie in {settings.storage.artifacts} and are not in this backup:"
            " that store must keep copies of its own"
        )
    if settings.storage.registry:
        notes.append("the registry was copied from PostgreSQL to a file; see 'tsavo restore --help'")
    return tuple(notes)
