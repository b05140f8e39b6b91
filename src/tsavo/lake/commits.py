"""What each Delta commit of the lake did, told to the log before the journal lets go of the records.

The keeper writes the lake, so it knows which commits are its own: right before it writes to a table it looks for
commits that the log does not know, and right after for the one it made. What it finds before is from a crash between a
commit and its entry, or somebody else's. It is held against the records that the journal still has: a commit that
says what they say is *recovered*, any other *unexpected*, and both stand in the log with that word.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from tsavo.ledger import KnownFile, Ledger
from tsavo.storage import file_digest, sync_file_system

__all__ = ["CommitLog", "Vouch"]

_LOG: Final = logging.getLogger("tsavo.lake")
_DELTA: Final = "_delta_log"
_CHECKPOINT: Final = "_last_checkpoint"
_ORDER: Final = ("journal", "seq", "decision_id")
_CONSOLES: Final = "backtests"
_MOST_COMPARED: Final = 200_000
_IDLE: Final = "no version of the table needs it"
_FOUND: Final = "it was there when the keeper looked around"

# What the journals' records between two numbers say should be in a table: journal -> (above, up to) -> rows.
Vouch = Callable[[Mapping[str, tuple[int, int]]], pa.Table | None]


class CommitLog:
    """Notes commits of the tables below `root`, and writes them to `ledger` when told to.

    Parameters
    ----------
    root
        The lake's folder; entries name files relative to the folder that it lies in.
    ledger
        The home's log, open for writing.
    """

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self._root = root
        self._ledger = ledger
        self._pending: list[dict[str, Any]] = []
        # Table -> the last version that is in the log or pending.
        self._seen: dict[str, int] = {}
        self._lock = threading.RLock()

    @contextmanager
    def watching(self, table: Path, vouch: Vouch | None = None, *, tidying: bool = False) -> Iterator[None]:
        """Note the commits that are made to `table` in the block.

        Parameters
        ----------
        vouch
            What the journals say, for commits of ours that a crash kept out of the log.
        tidying
            Whether the block's commits may also delete files.
        """
        with self._lock:
            self._note(table, "unexpected", vouch)
        try:
            yield
        except BaseException:
            # It may have been committed all the same, or somebody else may have been quicker.
            with self._lock:
                self._note(table, "unexpected", vouch)
            raise
        with self._lock:
            if self._note(table, "written", None) and tidying:
                self._compare(table, "written")

    def add_file(self, path: Path) -> None:
        """Note a file that the keeper wrote to the lake beside the tables."""
        with self._lock:
            self._pending.append({"kind": "files", "found": "written", "files": [self._file(path)]})

    def flush(self) -> int:
        """Bring what was committed to disk, and then write it to the log; return how many entries that made."""
        with self._lock:
            if self._pending:
                # An entry must not outlive its files in a power cut.
                sync_file_system(self._root)
                self._ledger.append(self._pending)
            count, self._pending = len(self._pending), []
            return count

    def sweep(self) -> int:
        """Note everything in the lake that the log does not know; return how many entries that made."""
        with self._lock:
            if self._root.is_dir():
                for folder in sorted(_tables(self._root)):
                    self._note(folder, "unexpected", None)
                    self._compare(folder, "unexpected")
                self._compare_loose()
            return self.flush()

    def adopt(self) -> None:
        """Note what the console wrote to the tables that are its own: results of back-tests."""
        with self._lock:
            folder = self._root / _CONSOLES
            for table in sorted(folder.iterdir()) if folder.is_dir() else ():
                if (table / _DELTA).is_dir() and self._note(table, "adopted", None):
                    self._compare(table, "adopted")

    @staticmethod
    def _judged(table: Path, found: str) -> str:
        # Nothing can show whose work a result is; from its entry on it is watched like the rest.
        return "adopted" if found == "unexpected" and table.parent.name == _CONSOLES else found

    def _note(self, table: Path, found: str, vouch: Vouch | None) -> bool:
        """Note commits that are in `table` and not in the log; return whether there were any."""
        name, found = self._name(table), self._judged(table, found)
        version = self._seen.get(name)
        if version is None:
            version = self._ledger.index.version(name)
        fresh = list(_versions_after(table / _DELTA, version))
        for number in fresh:
            actions = _actions(table / _DELTA, number)
            entry = {**self._commit(table, name, number, actions), "found": found}
            if found == "unexpected":
                if why := self._vouched_for(entry, actions, vouch):
                    entry |= {"found": "recovered", "why": why}
                else:
                    entry["why"] = "the keeper did not make it, and no journal says the same"
                    _LOG.error("version %s of %s is not the keeper's work", number, name)
            self._pending.append(entry)
        self._seen[name] = fresh[-1] if fresh else version
        if fresh:
            self._note_checkpoint(table, found)
        return bool(fresh)

    def _commit(
        self, table: Path, name: str, version: int, actions: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The entry of one commit."""
        files = [self._file(_commit_file(table / _DELTA, version))]
        for action in actions:
            if added := action.get("add"):
                file = table / unquote(added["path"])
                rows = json.loads(added.get("stats") or "{}").get("numRecords")
                # Merged and vacuumed since, when the keeper was away.
                if file.exists():
                    files.append({**self._file(file), "rows": rows})
        removed = [
            self._name(table / unquote(action["remove"]["path"])) for action in actions if "remove" in action
        ]
        journals = [
            {
                "id": action["txn"]["appId"],
                "first": self._upto(name, action["txn"]["appId"]) + 1,
                "last": action["txn"]["version"],
            }
            for action in actions
            if "txn" in action
        ]
        entry: dict[str, Any] = {"kind": "commit", "table": name, "version": version, "files": files}
        return (
            entry | ({"removed": removed} if removed else {}) | ({"journals": journals} if journals else {})
        )

    def _upto(self, table: str, journal: str) -> int:
        """The last record of `journal` that is in `table`, as far as the log or what waits for it knows."""
        for entry in reversed(self._pending):
            for part in entry.get("journals", ()):
                if entry["table"] == table and part["id"] == journal:
                    return int(part["last"])
        return self._ledger.index.shipped_upto(table, journal)

    def _vouched_for(
        self, entry: Mapping[str, Any], actions: Sequence[Mapping[str, Any]], vouch: Vouch | None
    ) -> str:
        """Why a commit that the log did not know is one of ours; empty when nothing shows it."""
        harmless = {"commitInfo"} if entry["version"] else {"commitInfo", "protocol", "metaData"}
        if all(action.keys() <= harmless for action in actions):
            return "it changes no row"
        added = [self._root.parent / file["path"] for file in entry["files"][1:]]
        removed = [self._root.parent / path for path in entry.get("removed", ())]
        if sum(file["rows"] or 0 for file in entry["files"][1:]) > _MOST_COMPARED:
            return ""
        if removed:
            known = all(path.exists() for path in removed)
            same = known and _contents(map(_read, added)) == _contents(map(_read, removed))
            return "it has the rows of the files that it replaced" if same else ""
        if vouch is None or "journals" not in entry:
            return ""
        expected = vouch({part["id"]: (part["first"] - 1, part["last"]) for part in entry["journals"]})
        if expected is None or _contents([expected]) != _contents(map(_read, added)):
            return ""
        return "the journal says the same"

    def _note_checkpoint(self, table: Path, found: str) -> None:
        """Note a checkpoint that the last commit made, and the old entries that were deleted with it."""
        pointer = table / _DELTA / _CHECKPOINT
        if pointer.exists():
            known = self._ledger.index.file(self._name(pointer))
            if known is None or known.sha256 != file_digest(pointer):
                self._compare(table, found, folder=_DELTA)

    def _compare(self, table: Path, found: str, *, folder: str = "") -> None:
        """Note files of `table` that came or went without a commit: checkpoints, what was never committed, vacuum."""
        self.flush()
        here, found = table / folder, self._judged(table, found)
        known = self._ledger.index.files(self._name(here))
        present = {self._name(path): path for path in _files(here)}
        came = [path for name, path in present.items() if self._is_news(name, path, known)]
        # What a table still needs is damage, which the log must go on naming.
        went = [name for name in known if name not in present and _is_spare(name, known)]
        self._note_files("recovered", [path for path in came if not _matters(path)], went, _IDLE)
        why = _FOUND if found == "unexpected" else ""
        self._note_files(found, [path for path in came if _matters(path)], [], why)

    def _compare_loose(self) -> None:
        """Note files of the lake that are in no table."""
        known = self._ledger.index.files(self._name(self._root))
        loose = [path for path in _files(self._root, leave_tables=True) if self._name(path) not in known]
        self._note_files("unexpected", loose, [], _FOUND)

    def _note_files(self, found: str, came: Sequence[Path], went: Sequence[str], why: str = "") -> None:
        if came or went:
            entry: dict[str, Any] = {"kind": "files", "found": found, "why": why, "deleted": list(went)}
            entry["files"] = [self._file(path) for path in came]
            # What no commit names may go again.
            entry["idle"] = why == _IDLE
            self._pending.append({key: value for key, value in entry.items() if value})

    @staticmethod
    def _is_news(name: str, path: Path, known: Mapping[str, KnownFile]) -> bool:
        # The pointer to the last checkpoint is the one file that is ever written again.
        return name not in known or (path.name == _CHECKPOINT and file_digest(path) != known[name].sha256)

    def _file(self, path: Path) -> dict[str, Any]:
        return {"path": self._name(path), "size": path.stat().st_size, "sha256": file_digest(path)}

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root.parent).as_posix()


def _commit_file(folder: Path, version: int) -> Path:
    return folder / f"{version:020}.json"


def _actions(folder: Path, version: int) -> list[dict[str, Any]]:
    lines = _commit_file(folder, version).read_bytes().splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def _matters(path: Path) -> bool:
    """Whether a file without a commit can change what readers of a table see."""
    return path.parent.name == _DELTA and not path.name.startswith("_commit_")


def _is_spare(name: str, known: Mapping[str, KnownFile]) -> bool:
    """Whether a file may go: a commit replaced it, or a checkpoint of the table says the same."""
    if known[name].retired:
        return True
    version = _version_in_log(name)
    newest = max((_version_in_log(other) for other in known if ".checkpoint." in other), default=-1)
    return 0 <= version < newest or (version == newest and name.endswith(".json"))


def _version_in_log(name: str) -> int:
    """The version that a file of a table's log is about; -1 for other files."""
    folder, _, file = name.rpartition("/")
    number = file.partition(".")[0]
    return int(number) if folder.endswith(_DELTA) and number.isdigit() else -1


def _read(path: Path) -> pa.Table:
    return pq.read_table(path, partitioning=None)


def _versions_after(folder: Path, version: int) -> Iterator[int]:
    """The commits behind `version` that are in the log of a table, in order."""
    following = version + 1
    while _commit_file(folder, following).exists():
        yield following
        following += 1
    if version >= 0 or following > 0 or not folder.is_dir():
        return
    # A table from before there was a log may have lost its first commits to a checkpoint.
    names = sorted(path.stem for path in folder.glob("*.json") if path.stem.isdigit())
    yield from map(int, names)


def _tables(folder: Path) -> list[Path]:
    """The folders of tables below `folder`."""
    found = []
    for where, folders, _ in os.walk(folder):
        if _DELTA in folders:
            found.append(Path(where))
            folders.clear()
    return found


def _files(folder: Path, *, leave_tables: bool = False) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        if leave_tables and _DELTA in folders:
            folders.clear()
            continue
        yield from (Path(where, name) for name in sorted(names))


def _contents(tables: Iterable[pa.Table]) -> list[str]:
    """Rows as texts that two tables share when they say the same, whatever fields one has beyond the other."""
    rows = [row for table in tables for row in table.to_pylist()]
    rows.sort(key=lambda row: tuple(str(row.get(name)) for name in _ORDER))
    return [json.dumps(_without_nothing(row), sort_keys=True, default=str) for row in rows]


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nothing(part) for key, part in value.items() if part is not None}
    return value
