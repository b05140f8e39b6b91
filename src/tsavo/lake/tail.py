"""What lies in the journals and is not shipped yet, decoded, for readers that must see every decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from tsavo.journal import Journal, journals
from tsavo.lake.rows import Decided, Resolved
from tsavo.lake.tables import Snapshot
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

__all__ = ["SignatureOf", "Tail", "by_version", "check_record", "read_tail"]

SignatureOf: TypeAlias = Callable[[str, int], Signature]

_CHUNK_ROWS: Final = 100_000
# Decoded records of about this many bytes take a few times as much memory.
_MOST_BYTES: Final = 1 << 30


class Tail(NamedTuple):
    """Records of all journals, in the order of their numbers; records that cannot be read are left out."""

    journals: tuple[str, ...]
    decided: tuple[Decided, ...]
    resolved: tuple[Resolved, ...]

    def endpoints(self) -> set[str]:
        """Every endpoint that a record names."""
        return {entry.record.endpoint for entry in self.decided} | {
            entry.record.endpoint for entry in self.resolved
        }

    def decided_after(self, endpoint: str, snapshot: Snapshot | None) -> list[Decided]:
        """Decision records of `endpoint` that are not in `snapshot`."""
        return [
            entry
            for entry in self.decided
            if entry.record.endpoint == endpoint
            and (snapshot is None or entry.seq > snapshot.upto(entry.journal))
        ]

    def resolved_after(self, endpoint: str, snapshot: Snapshot | None) -> list[Resolved]:
        """Outcome records of `endpoint` that are not in `snapshot`."""
        return [
            entry
            for entry in self.resolved
            if entry.record.endpoint == endpoint
            and (snapshot is None or entry.seq > snapshot.upto(entry.journal))
        ]


def read_tail(folder: Path) -> Tail:
    """Read all that is in the journals of `folder`.

    Read it *before* the tables: what is shipped and trimmed in between is then seen twice, never missed, and
    what the tables hold already is told by their snapshots' `upto`. Raises `Unavailable` when the journals hold
    more than fits in memory, because the keeper has not shipped for long.
    """
    decided: list[Decided] = []
    resolved: list[Resolved] = []
    names: list[str] = []
    size = 0
    for path in journals(folder):
        try:
            journal = Journal(path)
        except NotFound:
            continue
        with journal:
            names.append(journal.journal_id)
            after, more = 0, True
            while more:
                entries = journal.read(after, max_rows=_CHUNK_ROWS)
                more = entries.more
                for seq, payload in entries.rows:
                    size += len(payload)
                    try:
                        record = check_record(decode_record(payload))
                    except TsavoError:
                        continue
                    if isinstance(record, DecisionRecord):
                        decided.append(Decided(journal.journal_id, seq, record))
                    else:
                        resolved.append(Resolved(journal.journal_id, seq, record))
                    after = seq
                if entries.rows:
                    after = entries.rows[-1][0]
                if size > _MOST_BYTES:
                    raise _too_far_behind(size)
    return Tail(tuple(names), tuple(decided), tuple(resolved))


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
