"""From the journals to Delta, each record once.

A batch is read from one journal, written to the tables that it concerns, and only then trimmed. Each write carries a
Delta application transaction: the journal's id and the number of the batch's last record. After a crash the same
records are read again, perhaps with newer ones; each table tells how far it has come in that journal,
and what it has is left out. So a crash at any point neither loses a row nor doubles one.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from tsavo.journal import Entries, Journal, journals
from tsavo.lake.folders import Folders
from tsavo.lake.layout import Misfit, lay_out_decisions, lay_out_outcomes, structs_of
from tsavo.lake.rows import Decided, Resolved
from tsavo.lake.tables import Snapshot
from tsavo.lake.tail import SignatureOf, check_record
from tsavo.storage import write_atomically
from tsavo.vocabulary import DecisionRecord, NotFound, TsavoError, decode_record

__all__ = ["Shipped", "Shipper"]

_MOST_BYTES: Final = 64 << 20

_Entry = TypeVar("_Entry", Decided, Resolved)


class Shipped(NamedTuple):
    """What one call moved.

    Attributes
    ----------
    decisions, outcomes
        Rows by endpoint.
    quarantined
        One sentence for each record that could not be laid out as rows; its bytes are in the lake's folder
        ``quarantine``.
    behind
        Records still in the journals when the call ended.
    more
        Whether limits cut the call short: call again at once.
    """

    decisions: dict[str, int]
    outcomes: dict[str, int]
    quarantined: tuple[str, ...]
    behind: int
    more: bool

    @property
    def endpoints(self) -> set[str]:
        """Every endpoint that has new rows."""
        return self.decisions.keys() | self.outcomes.keys()


class _Batch(NamedTuple):
    decided: dict[str, list[Decided]]
    resolved: dict[str, list[Resolved]]
    misfits: list[Misfit]


class Shipper:
    """Ships the journals of one folder; one process at a time (a second one is refused by Delta, and loses nothing)."""

    def __init__(self, folders: Folders, journal_folder: Path, signature_of: SignatureOf) -> None:
        self._folders = folders
        self._journal_folder = journal_folder
        self._signature_of = signature_of
        # How far this process has come in each journal: what trimming could not remove is not read again.
        self._offsets: dict[str, int] = {}
        self._lock = threading.Lock()

    def ship(self, max_rows: int) -> Shipped:
        """Move what is in the journals now, at most `max_rows` records of each."""
        decisions: dict[str, int] = {}
        outcomes: dict[str, int] = {}
        quarantined: list[str] = []
        behind, more = 0, False
        with self._lock:
            for path in journals(self._journal_folder):
                try:
                    journal = Journal(path)
                except NotFound:
                    continue
                with journal:
                    after = self._offsets.get(journal.journal_id, 0)
                    entries = journal.read(after, max_rows=max_rows, max_bytes=_MOST_BYTES)
                    if entries.rows:
                        quarantined += self._ship(entries, decisions, outcomes)
                        self._offsets[journal.journal_id] = entries.rows[-1][0]
                        journal.trim(journal.journal_id, entries.rows[-1][0])
                    more |= entries.more
                    behind += journal.size().rows
        return Shipped(decisions, outcomes, tuple(quarantined), behind, more)

    def _ship(self, entries: Entries, decisions: dict[str, int], outcomes: dict[str, int]) -> list[str]:
        transaction = (entries.journal_id, entries.rows[-1][0])
        payloads = dict(entries.rows)
        batch = _sort_out(entries)
        # What is set aside is on disk before a table says that it has seen the record.
        misfits = self._set_aside(batch.misfits, payloads)
        for endpoint, decided in batch.decided.items():
            table = self._folders.decisions(endpoint)
            snapshot = table.snapshot([entries.journal_id])
            known = structs_of(None if snapshot is None else snapshot.schema)
            rows, unfit = lay_out_decisions(_beyond(decided, snapshot), self._signature_of, known)
            misfits += self._set_aside(unfit, payloads)
            if rows is not None and table.append(rows, transaction):
                decisions[endpoint] = decisions.get(endpoint, 0) + rows.num_rows
        for endpoint, resolved in batch.resolved.items():
            table = self._folders.outcomes(endpoint)
            rows, unfit = lay_out_outcomes(_beyond(resolved, table.snapshot([entries.journal_id])))
            misfits += self._set_aside(unfit, payloads)
            if rows.num_rows and table.append(rows, transaction):
                outcomes[endpoint] = outcomes.get(endpoint, 0) + rows.num_rows
        return misfits

    def _set_aside(self, misfits: Sequence[Misfit], payloads: Mapping[int, bytes]) -> list[str]:
        """Keep the bytes of records that cannot be shipped; written again after a crash, under the same name."""
        if not misfits:
            return []
        folder = self._folders.quarantine
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = [
            msgspec.json.encode(
                {
                    "journal": misfit.journal,
                    "seq": misfit.seq,
                    "reason": misfit.reason,
                    "payload": base64.b64encode(payloads[misfit.seq]).decode(),
                }
            )
            for misfit in misfits
        ]
        name = f"{misfits[0].journal}-{misfits[0].seq}.jsonl"
        write_atomically(folder / name, b"\n".join(lines) + b"\n")
        return [f"record {misfit.seq} of journal {misfit.journal}: {misfit.reason}" for misfit in misfits]


def _beyond(entries: list[_Entry], snapshot: Snapshot | None) -> list[_Entry]:
    """The entries that a table does not hold yet."""
    upto = 0 if snapshot is None else snapshot.upto(entries[0].journal)
    return [entry for entry in entries if entry.seq > upto] if entries[0].seq <= upto else entries


def _sort_out(entries: Entries) -> _Batch:
    """Decode a batch and part it by endpoint."""
    batch = _Batch({}, {}, [])
    journal = entries.journal_id
    for seq, payload in entries.rows:
        try:
            record = check_record(decode_record(payload))
        except TsavoError as error:
            batch.misfits.append(Misfit(journal, seq, str(error)))
            continue
        if isinstance(record, DecisionRecord):
            batch.decided.setdefault(record.endpoint, []).append(Decided(journal, seq, record))
        else:
            batch.resolved.setdefault(record.endpoint, []).append(Resolved(journal, seq, record))
    return batch
