"""Single changes that somebody might make to a home behind its log's back, chosen at random, each undone afterwards.

Every kind (flip, delete, insert, reorder, swap, restore an old copy, truncate) is made to files of the lake, files of
the log, and rows of the registry. What SQLite keeps in its file beside its rows is not looked at.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

__all__ = ["KINDS", "PARTS", "Change", "Tamperer"]

PARTS: Final = ("lake", "log", "registry")
KINDS: Final = ("flip", "delete", "insert", "reorder", "swap", "restore", "truncate")
_TABLES: Final = ("audit", "models", "versions", "endpoints", "routes", "members", "verifications")


class Change(NamedTuple):
    """What was done; each of `places` is one that the verifier may name for it."""

    part: str
    kind: str
    places: tuple[str, ...]
    what: str


class Tamperer:
    """Changes a home, one thing at a time.

    Parameters
    ----------
    home, old
        A stopped home, and a copy of it from earlier.
    random
        Where choices come from.
    """

    def __init__(self, home: Path, old: Path, random: Random) -> None:
        self._home = home
        self._random = random
        self._present = _contents(home)
        self._old = _contents(old)
        self._touched: set[str] = set()
        self._database = home / "registry.db"
        self._old_database = old / "registry.db"

    def change(self, part: str, kind: str) -> Change:
        """Make one change of a kind to a part; `undo` must follow."""
        if part == "registry":
            return self._change_rows(kind)
        method: Callable[[str], Change] = getattr(self, f"_{kind}")
        return method(part)

    def undo(self) -> None:
        """Put everything back."""
        for folder in ("lake", "ledger"):
            for path in list((self._home / folder).rglob("*")):
                if path.is_file() and _name(self._home, path) not in self._present:
                    path.unlink()
        for name, content in self._present.items():
            path = self._home / name
            if name in self._touched or not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        self._touched.clear()

    # ---- Files

    def _files(self, part: str) -> list[str]:
        folder = "lake/" if part == "lake" else "ledger/"
        return [name for name in self._present if name.startswith(folder) and not name.endswith("key.pem")]

    def _pick(self, part: str) -> tuple[str, bytes]:
        name = self._random.choice(self._files(part))
        return name, self._present[name]

    def _put(self, part: str, kind: str, name: str, content: bytes, what: str) -> Change:
        assert content != self._present.get(name)
        (self._home / name).write_bytes(content)
        self._touched.add(name)
        return Change(part, kind, _places(name), f"{name}: {what}")

    def _flip(self, part: str) -> Change:
        name, content = self._pick(part)
        place, bit = self._random.randrange(len(content)), 1 << self._random.randrange(8)
        changed = content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
        change = self._put(part, "flip", name, changed, f"bit {bit} of byte {place}")
        if name.startswith("ledger/segments/"):
            # Here the entry itself must be named.
            entry = int(Path(name).stem) + content.count(b"\n", 0, place)
            return change._replace(places=(f"ledger/segments, entry {entry}:",))
        return change

    def _delete(self, part: str) -> Change:
        name, content = self._pick(part)
        if self._random.random() < 0.3:
            (self._home / name).unlink()
            return Change(part, "delete", _places(name), f"{name}: deleted")
        if name.endswith(".jsonl") and self._random.random() < 0.5:
            lines = content.splitlines(keepends=True)
            gone = self._random.randrange(len(lines))
            return self._put(part, "delete", name, b"".join(lines[:gone] + lines[gone + 1 :]), f"line {gone}")
        start = self._random.randrange(len(content))
        end = min(len(content), start + self._random.randint(1, 40))
        return self._put(part, "delete", name, content[:start] + content[end:], f"bytes {start} to {end}")

    def _insert(self, part: str) -> Change:
        name, content = self._pick(part)
        if self._random.random() < 0.3:
            other = f"{name.rpartition('/')[0]}/{self._random.randrange(10**6):06}{Path(name).suffix}"
            return self._put(part, "insert", other, content, f"a copy of {name}")
        if name.endswith(".jsonl") and self._random.random() < 0.5:
            lines = content.splitlines(keepends=True)
            lines.insert(self._random.randrange(len(lines) + 1), self._random.choice(lines))
            return self._put(part, "insert", name, b"".join(lines), "a line twice")
        place, more = (
            self._random.randrange(len(content) + 1),
            self._random.randbytes(self._random.randint(1, 40)),
        )
        return self._put(
            part, "insert", name, content[:place] + more + content[place:], f"{len(more)} bytes at {place}"
        )

    def _reorder(self, part: str) -> Change:
        while True:
            name, content = self._pick(part)
            pieces = (
                content.splitlines(keepends=True) if name.endswith((".jsonl", ".json")) else _blocks(content)
            )
            if len(pieces) < 2:
                pieces = _blocks(content)
            one, other = sorted(self._random.sample(range(len(pieces)), 2))
            pieces[one], pieces[other] = pieces[other], pieces[one]
            if b"".join(pieces) != content:
                return self._put(part, "reorder", name, b"".join(pieces), f"{one} and {other}")

    def _swap(self, part: str) -> Change:
        while True:
            names = sorted(self._random.sample(self._files(part), 2))
            one, other = (self._present[name] for name in names)
            if one != other:
                self._put(part, "swap", names[0], other, "")
                self._put(part, "swap", names[1], one, "")
                places = tuple(place for name in names for place in _places(name))
                return Change(part, "swap", places, " and ".join(names))

    def _restore(self, part: str) -> Change:
        folder = "lake" if part == "lake" else "ledger"
        if self._random.random() < 0.2:
            return self._restore_folder(part, folder)
        if part == "lake" and self._random.random() < 0.4:
            kinds = ("decisions/credit", "decisions/sales")
            return self._restore_folder(part, f"lake/{self._random.choice(kinds)}")
        changed = [
            name
            for name in self._files(part)
            if self._old.get(name, self._present[name]) != self._present[name]
        ]
        gone = [name for name in self._old if name.startswith(f"{folder}/") and name not in self._present]
        name = self._random.choice(changed + gone)
        return self._put(part, "restore", name, self._old[name], "as it was")

    def _restore_folder(self, part: str, folder: str) -> Change:
        shutil.rmtree(self._home / folder)
        for name, content in self._old.items():
            if name.startswith(f"{folder}/"):
                (self._home / name).parent.mkdir(parents=True, exist_ok=True)
                (self._home / name).write_bytes(content)
                self._touched.add(name)
        return Change(part, "restore", (f"{folder}/",), f"{folder}: all of it")

    def _truncate(self, part: str) -> Change:
        name, content = self._pick(part)
        keep = self._random.randrange(len(content))
        return self._put(part, "truncate", name, content[:keep], f"{keep} of {len(content)} bytes")

    # ---- Rows

    def _change_rows(self, kind: str) -> Change:
        self._touched.add("registry.db")
        if kind == "restore" and self._random.random() < 0.3:
            self._database.write_bytes(self._old["registry.db"])
            return Change("registry", kind, ("registry.db",), "all of it")
        with closing(sqlite3.connect(self._database)) as database, database:
            database.row_factory = sqlite3.Row
            while True:
                table = self._random.choice(_TABLES)
                before = _dump(database)
                self._change_table(database, table, kind)
                after = _dump(database)
                if before != after:
                    break
                database.rollback()
        # What else a changed table changes is its own: SQLite keeps no foreign keys unless it is told to.
        return Change("registry", kind, (f"registry.db, {table} ",), table)

    def _change_table(self, database: sqlite3.Connection, table: str, kind: str) -> None:
        rows = [dict(row) for row in database.execute(f'SELECT rowid AS "rowid", * FROM "{table}"')]
        if not rows:
            return
        columns = [name for name in rows[0] if name != "rowid"]
        row, column = self._random.choice(rows), self._random.choice(columns)
        change = f'UPDATE OR IGNORE "{table}" SET "{{}}" = ? WHERE rowid = ?'
        if kind == "flip":
            database.execute(change.format(column), (_other(row[column], self._random), row["rowid"]))
        elif kind == "delete":
            database.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (row["rowid"],))
        elif kind == "insert":
            fresh = {name: row[name] + 1000 if isinstance(row[name], int) else row[name] for name in columns}
            fresh[columns[0]] = _other(row[columns[0]], self._random)
            marks = ", ".join("?" * len(columns))
            database.execute(f'INSERT OR IGNORE INTO "{table}" VALUES ({marks})', list(fresh.values()))
        elif kind in {"reorder", "swap"}:
            other = self._random.choice(rows)
            names = [column] if kind == "reorder" else columns[1:]
            for name in names:
                database.execute(change.format(name), (other[name], row["rowid"]))
                database.execute(change.format(name), (row[name], other["rowid"]))
        elif kind == "restore":
            self._restore_table(database, table)
        else:
            keep = self._random.randrange(len(rows))
            database.execute(f'DELETE FROM "{table}" WHERE rowid > ?', (rows[keep]["rowid"] - 1,))

    def _restore_table(self, database: sqlite3.Connection, table: str) -> None:
        with closing(sqlite3.connect(self._old_database)) as old:
            rows = old.execute(f'SELECT * FROM "{table}"').fetchall()
        database.execute(f'DELETE FROM "{table}"')
        for row in rows:
            database.execute(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(row))})', row)


def _places(name: str) -> tuple[str, ...]:
    """What the verifier may call a file: by its name, or by the entries of the log that are in it."""
    if name.startswith("ledger/segments/"):
        return ("ledger/segments", "ledger/tree")
    # A key or a head that is gone or unreadable is named by the error of the operating system.
    return (name,)


def _blocks(content: bytes) -> list[bytes]:
    size = max(1, len(content) // 7)
    return [content[start : start + size] for start in range(0, len(content), size)]


def _other(value: Any, random: Random) -> Any:
    if isinstance(value, int):
        return value ^ (1 << random.randrange(4))
    text = value or ""
    place = random.randrange(len(text) + 1)
    return (
        text[:place]
        + random.choice("abcxyz019 ")
        + text[place + random.randrange(2) :]
        + ("" if value else "x")
    )


def _dump(database: sqlite3.Connection) -> list[list[tuple[Any, ...]]]:
    return [sorted(map(tuple, database.execute(f'SELECT * FROM "{table}"')), key=repr) for table in _TABLES]


def _contents(home: Path) -> dict[str, bytes]:
    return {_name(home, path): path.read_bytes() for path in _walk(home)}


def _walk(home: Path) -> Iterator[Path]:
    for folder in ("lake", "ledger"):
        yield from sorted(path for path in (home / folder).rglob("*") if path.is_file())
    yield home / "registry.db"


def _name(home: Path, path: Path) -> str:
    return path.relative_to(home).as_posix()
