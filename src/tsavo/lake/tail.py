"""What lies in the journals and is not shipped yet, decoded, for readers that must see every decision."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, TypeVar

from tsavo.journal import Journal, journals
from tsavo.lake.rows import Decided, Resolved
from tsavo.lake.tables import Snapshot
from tsavo.lake.undisturbed import undisturbed
from tsavo.vocabulary import (
    Damaged,
    DecisionRecord,
    NotFound,
    OutcomeRecord,
    Signature,
    TsavoError,
    Unavailable,
    check_name,
    decode_record,
)

__all__ = ["SignatureOf", "Tail", "TailReader", "by_version", "check_record"]

SignatureOf: TypeAlias = Callable[[str, int], Signature]

_Entry = TypeVar("_Entry", Decided, Resolved)

_CHUNK_ROWS: Final = 100_000
# Decoded records of about this many bytes take a few times as much memory.
_MOST_BYTES: Final = 1 << 30
# More than the keeper lets wait, so that it is remembered as long as the keeper keeps up.
_MOST_REMEMBERED: Final = 64 << 20


@dataclass(frozen=True)
class Tail:
    """Records of all journals, in the order of their numbers; records that cannot be read are left out."""

    journals: tuple[str, ...]
    decided: tuple[Decided, ...]
    resolved: tuple[Resolved, ...]

    def endpoints(self) -> set[str]:
        """Every endpoint that a record names."""
        return self._decided_by.keys() | self._resolved_by.keys()

    def decided_after(self, endpoint: str, snapshot: Snapshot | None) -> list[Decided]:
        """Decision records of `endpoint` that are not in `snapshot`."""
        return _beyond(self._decided_by.get(endpoint, []), snapshot)

    def resolved_after(self, endpoint: str, snapshot: Snapshot | None) -> list[Resolved]:
        """Outcome records of `endpoint` that are not in `snapshot`."""
        return _beyond(self._resolved_by.get(endpoint, []), snapshot)

    @cached_property
    def _decided_by(self) -> dict[str, list[Decided]]:
        return _by_endpoint(self.decided)

    @cached_property
    def _resolved_by(self) -> dict[str, list[Resolved]]:
        return _by_endpoint(self.resolved)


def _by_endpoint(entries: Iterable[_Entry]) -> dict[str, list[_Entry]]:
    found: dict[str, list[_Entry]] = {}
    for entry in entries:
        found.setdefault(entry.record.endpoint, []).append(entry)
    return found


def _beyond(entries: list[_Entry], snapshot: Snapshot | None) -> list[_Entry]:
    return [entry for entry in entries if snapshot is None or entry.seq > snapshot.upto(entry.journal)]


class _Kept(NamedTuple):
    """What was read of one journal: (number, bytes, record or ``None``)."""

    rows: list[tuple[int, int, Decided | Resolved | None]]

    @property
    def last(self) -> int:
        return self.rows[-1][0] if self.rows else 0


class TailReader:
    """Reads what the journals of `folder` hold; what was decoded once is remembered until it is trimmed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def read(self) -> Tail:
        """Read all that is in the journals now.

        Do it *before* the tables are looked at: what is shipped and trimmed in between is then seen twice, never
        missed, and what the tables hold already is told by their snapshots' `upto`. Raises `Unavailable` when
        the journals hold more than fits in memory, because the keeper has not shipped for long.
        """
        with self._lock, undisturbed():
            before, self._kept = self._kept, {}
            found: dict[str, _Kept] = {}
            size = 0
            for path in journals(self._folder):
                try:
                    journal = Journal(path)
                except NotFound:
                    continue
                with journal:
                    name = journal.journal_id
                    found[name] = _read(journal, before.pop(name, _Kept([])), _MOST_BYTES - size)
                    size += sum(row[1] for row in found[name].rows)
            if size <= _MOST_REMEMBERED:
                self._kept = found
        entries = [row[2] for kept in found.values() for row in kept.rows]
        return Tail(
            tuple(found),
            tuple(entry for entry in entries if isinstance(entry, Decided)),
            tuple(entry for entry in entries if isinstance(entry, Resolved)),
        )


def _read(journal: Journal, kept: _Kept, most_bytes: int) -> _Kept:
    """What `journal` holds, given what was `kept` of it."""
    size = journal.size()
    first = size.last - size.rows + 1
    # Numbers are trimmed from the front. A journal that ends before what is kept is a copy put back: read it anew.
    rows = [row for row in kept.rows if row[0] >= first] if kept.last <= size.last else []
    after, more, total = (rows[-1][0] if rows else 0), True, sum(row[1] for row in rows)
    while more:
        entries = journal.read(after, max_rows=_CHUNK_ROWS)
        more = entries.more
        for seq, payload in entries.rows:
            rows.append((seq, len(payload), _entry(journal.journal_id, seq, payload)))
            total += len(payload)
        if entries.rows:
            after = entries.rows[-1][0]
        if total > most_bytes:
            raise _too_far_behind(total)
    return _Kept(rows)


def _entry(journal: str, seq: int, payload: bytes) -> Decided | Resolved | None:
    try:
        record = check_record(decode_record(payload))
    except TsavoError:
        return None
    if isinstance(record, DecisionRecord):
        return Decided(journal, seq, record)
    return Resolved(journal, seq, record)


def check_record(record: DecisionRecord | OutcomeRecord) -> DecisionRecord | OutcomeRecord:
    """Raise `Invalid` or `Damaged` when a record's endpoint cannot name a folder or its rows cannot be counted."""
    check_name(record.endpoint, "endpoint")
    if isinstance(record, DecisionRecord) and record.rows < 1:
        raise Damaged("a decision record has no rows", field="rows", found=record.rows, expected="1 or more")
    return record


def by_version(entries: Iterable[Decided]) -> dict[tuple[str, int], list[Decided]]:
    """Records by the model and version that made them."""
    groups: dict[tuple[str, int], list[Decided]] = {}
    for entry in entries:
        groups.setdefault((entry.record.model, entry.record.version), []).append(entry)
    return groups


def _too_far_behind(size: int) -> Unavailable:
    return Unavailable(
        "the journals hold more decisions than can be read at once",
        field="journal",
        found=f"{size >> 20} MiB",
        expected=f"at most {_MOST_BYTES >> 20} MiB not shipped to the lake",
        next_step="start the keeper with 'tsavo up' and try again when it has caught up",
    )
