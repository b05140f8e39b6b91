"""A new home made of a backup: all of it, checked, or nothing."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from tsavo.app.backups.store import BackupFolder
from tsavo.registry import copy_registry
from tsavo.storage import Database, Home, sync_file_system
from tsavo.vocabulary import Conflict

__all__ = ["Restored", "restore"]

_REGISTRY: Final = re.compile(r"^\s*registry\s*=.*\n?", re.MULTILINE)


class Restored(msgspec.Struct, frozen=True):
    """What was restored, and what must be seen to."""

    backup: str
    home: str
    files: int
    bytes: int
    notes: tuple[str, ...]


def restore(folder: Path, home: Home, *, backup: str | None = None, registry: str | None = None) -> Restored:
    """Make `home` of a backup; every file is checked against its digest.

    Parameters
    ----------
    backup
        Its id; by default the newest.
    registry
        URL of an empty PostgreSQL database that takes the registry; by default it is a file in the home, wherever
        it was before.

    Raises
    ------
    NotFound
        There is no such backup.
    Conflict
        The home is not empty, or the database is not.
    Damaged
        The backup is not as it was written; nothing was restored.
    """
    store = BackupFolder(folder)
    listed = store.listed(backup)
    if home.root.exists() and (not home.root.is_dir() or any(home.root.iterdir())):
        raise Conflict(
            "the home is not empty",
            field="home",
            found=str(home.root),
            expected="a folder that is empty, or not there yet",
            next_step="name another one with --home DIR",
        )
    home.root.parent.mkdir(parents=True, exist_ok=True)
    # Under its name only when it is whole: nobody starts half a home.
    draft = Path(tempfile.mkdtemp(prefix=f".{home.root.name}-restoring-", dir=home.root.parent))
    try:
        for kept in listed.files:
            store.copy_to(kept, draft / kept.path)
        _place_registry(Home(draft), registry)
        sync_file_system(draft)
        if home.root.is_dir():
            home.root.rmdir()
        draft.rename(home.root)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    size = sum(kept.bytes for kept in listed.files)
    return Restored(listed.id, str(home.root), len(listed.files), size, listed.notes)


def _place_registry(draft: Home, registry: str | None) -> None:
    """Say in the settings where the registry is now, and put it there."""
    text = draft.settings.read_text() if draft.settings.is_file() else ""
    told = _REGISTRY.sub("", text)
    if registry is not None:
        source, target = Database(f"sqlite:///{draft.registry}", read_only=True), Database(registry)
        try:
            copy_registry(source, target)
        finally:
            source.close()
            target.close()
        draft.registry.unlink()
        line = f"registry = {msgspec.json.encode(registry).decode()}\n"
        if re.search(r"^\[storage\]\s*$", told, re.MULTILINE):
            told = re.sub(
                r"^\[storage\]\s*\n?", lambda _: f"[storage]\n{line}", told, count=1, flags=re.MULTILINE
            )
        else:
            told = f"{told}\n[storage]\n{line}"
    if told != text:
        draft.settings.write_text(told)
        draft.settings.chmod(0o600)
