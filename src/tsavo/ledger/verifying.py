"""A home held against its log: every entry, every file of the lake, every row of the registry.

It says everything that is wrong, where the independent verifier (`verify_log.py` beside this) stops at the first; the
two share no code, so that neither vouches for its own mistakes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tsavo.ledger.heads import PublicKey
from tsavo.ledger.reading import LedgerFiles, LedgerReader
from tsavo.ledger.segments import SEGMENT_ENTRIES, Segments, parse_entry
from tsavo.ledger.tree import HASH_BYTES, Peaks, grow, leaf_hash, peaks_root
from tsavo.storage import canonical, file_digest
from tsavo.vocabulary import BadPlace, LogVerdict, TreeHead, TsavoError, Unexpected

__all__ = ["verify_home"]

_MOST_TOLD: Final = 100

# Table -> key -> hash of the row.
Rows = Mapping[str, Mapping[str, str]]


class _Check:
    """One verification under way."""

    def __init__(self, folder: Path) -> None:
        self.files = LedgerFiles(folder)
        self.bad: list[BadPlace] = []
        self.unexpected: list[Unexpected] = []
        self.entries = self.known = self.bytes = self.rows = 0
        self.paths: dict[str, str] = {}
        self.tables: dict[str, dict[str, str]] = {"audit": {}}

    def complain(self, place: str, what: str) -> None:
        self.bad.append(BadPlace(place, what))

    def read_heads(self, key: PublicKey, anchors: Sequence[TreeHead]) -> TreeHead | None:
        """The newest head, when it can be believed; and the roots that are signed."""
        self.roots: dict[int, tuple[str, str]] = {}
        try:
            head = LedgerReader(self.files.folder).head()
        except TsavoError as error:
            self.complain("ledger/head.json", str(error))
            head = None
        if head is not None and self.files.head.read_bytes() != head.line():
            self.complain("ledger/head.json", "not in the form in which heads are written")
        signed = [] if head is None else [(head, "ledger/head.json")]
        signed += [(anchor, f"the anchor, head {place}") for place, anchor in enumerate(anchors, 1)]
        for one, where in signed:
            if not key.signed(one):
                self.complain(where, "not signed by the log's key")
            elif head is not None and one.size > head.size:
                self.complain(
                    "ledger/head.json", f"{head.size} entries, and {where} has {one.size}: an old copy?"
                )
            elif self.roots.setdefault(one.size, (one.root, where))[0] != one.root:
                self.complain(where, f"another root for {one.size} entries than {self.roots[one.size][1]}")
        return head

    def read_names(self) -> None:
        """See that the folder holds a log and nothing else."""
        files = self.files
        parts = {path.name for path in (files.key, files.public, files.head, files.tree, files.segments)}
        for name in sorted({path.name for path in files.folder.iterdir()} - parts):
            # What is written anew lies beside for a moment, under a name that begins with a dot.
            if not name.startswith("."):
                self.complain(f"ledger/{name}", "no part of a log")
        for place, path in enumerate(sorted(files.segments.iterdir())):
            if path.name != f"{place * SEGMENT_ENTRIES:012}.jsonl":
                self.complain(f"ledger/segments/{path.name}", "not the segment that belongs here")

    def read_log(self) -> None:
        """Check every entry against the signed roots, and fold what the entries say."""
        peaks: Peaks = []
        odd, agreed = "", 0
        with self.files.tree.open("rb") as tree:
            for number, line in enumerate(Segments(self.files.segments).scan()):
                written = grow(peaks, leaf_hash(line))
                if tree.read(len(written)) != written and not odd:
                    odd = f"ledger/segments, entry {number}"
                self.entries = number + 1
                root, where = self.roots.get(self.entries, ("", ""))
                if root and peaks_root(peaks).hex() != root:
                    self.complain(
                        odd or f"ledger/segments, entries {agreed} to {number}",
                        f"not what was signed ({where})",
                    )
                    return
                agreed = self.entries if root else agreed
                entry = parse_entry(line, number)
                if entry is None:
                    self.complain(f"ledger/segments, entry {number}", "no entry of this number")
                    return
                self._fold(entry)
            if odd or tree.read(HASH_BYTES):
                self.complain("ledger/tree", f"not the hashes of the entries, from {odd or 'the end'} on")
        for size, (_, where) in sorted(self.roots.items()):
            if size > self.entries:
                self.complain(
                    f"ledger/segments, entry {self.entries}", f"missing: {size} were signed ({where})"
                )
                return

    def _fold(self, entry: dict[str, Any]) -> None:
        for file in entry.get("files", ()):
            self.paths[file["path"]] = file["sha256"]
        for path in entry.get("deleted", ()):
            self.paths.pop(path, None)
        if entry["kind"] == "audit":
            row = entry["row"]
            self.tables["audit"][canonical([row["id"]]).decode()] = hashlib.sha256(canonical(row)).hexdigest()
        for table in entry.get("tables", ()):
            self.tables.setdefault(table, {})
        for table, rows in entry.get("changed", {}).items():
            self.tables.setdefault(table, {}).update(rows)
        for table, keys in entry.get("gone", {}).items():
            for key in keys:
                self.tables[table].pop(key, None)
        if entry.get("found") == "unexpected":
            self.unexpected.append(Unexpected(entry["number"], _told(entry)))

    def read_lake(self, root: Path) -> None:
        """Compare the lake's files."""
        missing = dict(self.paths)
        for path in _files(root / "lake"):
            name = path.relative_to(root).as_posix()
            digest = missing.pop(name, None)
            if digest is None:
                self.complain(name, "not in the log")
                continue
            try:
                self.bytes += path.stat().st_size
                self.known += 1
                if file_digest(path) != digest:
                    self.complain(name, "changed")
            except OSError as error:
                self.complain(name, error.strerror or str(error))
        for name in sorted(missing):
            self.complain(name, "missing")

    def read_rows(self, found: Rows) -> None:
        """Compare the registry's rows."""
        for table in sorted(self.tables):
            expected, present = self.tables[table], found.get(table, {})
            self.rows += len(present)
            for key in sorted(expected.keys() | present.keys()):
                if expected.get(key) != present.get(key):
                    what = (
                        "missing"
                        if key not in present
                        else "changed"
                        if key in expected
                        else "not in the log"
                    )
                    self.complain(f"registry, {table} {key}", what)


def verify_home(
    folder: Path,
    root: Path,
    rows: Rows,
    anchors: Sequence[TreeHead] = (),
    key: PublicKey | None = None,
) -> LogVerdict:
    """Hold the home at `root` against the log in `folder`.

    Parameters
    ----------
    rows
        The registry's rows as they are now, hashed: table -> key -> SHA-256.
    anchors
        Heads that were kept elsewhere.
    key
        The log's public key from elsewhere; the home's own, which shows less, when it is not given.

    Raises
    ------
    NotFound
        Nothing was signed there yet.
    """
    began, moment = time.perf_counter(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    own = LedgerReader(folder).public_key()
    used = key or own
    check = _Check(folder)
    if str(own) != str(used):
        check.complain("ledger/key.pub", "not the key that was given")
    head = check.read_heads(used, anchors)
    try:
        check.read_names()
        check.read_log()
    except (OSError, TsavoError, KeyError, TypeError, json.JSONDecodeError) as error:
        check.complain("ledger", str(error))
    if not check.bad:
        # A log that cannot be believed says nothing about the rest.
        check.read_lake(root)
        check.read_rows(rows)
    return LogVerdict(
        ok=not check.bad,
        time=moment,
        seconds=time.perf_counter() - began,
        key=str(used),
        head=head,
        entries=check.entries,
        unsigned=max(0, check.entries - (head.size if head else 0)),
        files=check.known,
        bytes=check.bytes,
        rows=check.rows,
        anchored=len(anchors),
        bad=check.bad[:_MOST_TOLD],
        unexpected=check.unexpected[:_MOST_TOLD],
    )


def _files(folder: Path) -> Iterable[Path]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(where, name) for name in sorted(names))


def _told(entry: Mapping[str, Any]) -> str:
    if entry["kind"] == "commit":
        what = f"version {entry['version']} of {entry['table']}"
    elif entry["kind"] == "audit":
        what = f"entry {entry['row']['id']} of the audit trail"
    elif entry["kind"] == "rows":
        what = f"rows of {', '.join(sorted({*entry['changed'], *entry['gone']}))}"
    else:
        names = [file["path"] for file in entry.get("files", ())] + list(entry.get("deleted", ()))
        what = ", ".join(names[:3])
    return f"{what}: {entry.get('why', '')}"
