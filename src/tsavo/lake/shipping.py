"""From the journals to Delta, each record once.

Records are read from the journals, wait for their turn, are written to the tables that they concern, and only then
trimmed. Each write carries a Delta application transaction for each journal: its id and the number of the last record
that was read from it, because nothing of that table's is left out up to there. After a crash the same records are
read again, perhaps with newer ones; each table tells how far it has come in that journal, and what it has is
left out. So a crash at any point neither loses a row nor doubles one.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

from tsavo.journal import Entries, Journal, journals
from tsavo.lake.commits import CommitLog
from tsavo.lake.folders import Folders
from tsavo.lake.layout import Misfit, lay_out_decisions, lay_out_outcomes, structs_of
from tsavo.lake.rows import Decided, Resolved
from tsavo.lake.tables import LakeTable
from tsavo.lake.tail import SignatureOf, check_record
from tsavo.lake.veiled import no_owner
from tsavo.lake.waiting import Patience, Queue, Waiting
from tsavo.privacy import sealing_key
from tsavo.storage import sync_file_system, write_atomically
from tsavo.vocabulary import DecisionRecord, NotFound, OutcomeRecord, TsavoError, decode_record

__all__ = ["Own", "Shipped", "Shipper", "keys_of"]

_MOST_BYTES: Final = 64 << 20


Own: TypeAlias = Callable[[Iterable[tuple[bytes, str]]], None]
"""Notes of keys' ids whose they are, by pseudonym."""


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


def keys_of(records: Iterable[DecisionRecord | OutcomeRecord]) -> dict[bytes, str]:
    """The ids of the keys that records name, and whose they are."""
    return {
        sealing_key(sealed): pseudonym
        for record in records
        if isinstance(record, DecisionRecord)
        for sealed, pseudonym in zip(record.sealed, record.subjects, strict=False)
    }


class Shipper:
    """Ships the journals of one folder; one process at a time (a second one is refused by Delta, and loses nothing)."""

    def __init__(
        self,
        folders: Folders,
        journal_folder: Path,
        signature_of: SignatureOf,
        seconds: Callable[[], float] = time.monotonic,
        *,
        own: Own = no_owner,
    ) -> None:
        self._folders = folders
        self._journal_folder = journal_folder
        self._signature_of = signature_of
        self._waiting = Waiting(seconds)
        self._own = own
        # How far each journal was trimmed, so that it is done once.
        self._trimmed: dict[str, int] = {}
        self._lock = threading.Lock()
        # Where commits are noted, in the process that keeps the home's log.
        self.log: CommitLog | None = None

    def ship(self, max_rows: int, patience: Patience | None = None) -> Shipped:
        """Move what is in the journals now, at most `max_rows` new records of each.

        With `patience`, rows of quiet endpoints wait for their turn in the journals, as `tsavo.lake.waiting` explains.
        """
        decisions: dict[str, int] = {}
        outcomes: dict[str, int] = {}
        behind, more = 0, False
        with self._lock:
            quarantined: list[str] = []
            for journal in self._open():
                with journal:
                    after = self._waiting.upto(journal.journal_id)
                    entries = journal.read(after, max_rows=max_rows, max_bytes=_MOST_BYTES)
                    quarantined += self._take_in(entries)
                    more |= entries.more
            for queue in self._waiting.due(patience):
                quarantined += self._commit(queue, decisions if queue.kind == "decisions" else outcomes)
            if self.log is not None:
                # Before the journals let go of what the log's entries can be held against.
                self.log.flush()
            self._trim()
            for journal in self._open():
                with journal:
                    behind += journal.size().rows
        return Shipped(decisions, outcomes, tuple(quarantined), behind, more)

    def _open(self) -> Iterator[Journal]:
        for path in journals(self._journal_folder):
            try:
                journal = Journal(path)
            except NotFound:
                continue
            yield journal

    def _trim(self) -> None:
        """Let go of the records that nobody needs to read from the journals again."""
        floors = self._waiting.floors()
        floors = {name: upto for name, upto in floors.items() if upto > self._trimmed.get(name, 0)}
        if not floors:
            return
        # Delta does not wait for the disk. What is trimmed must be there, even if the power fails.
        self._folders.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync_file_system(self._folders.root)
        for journal in self._open():
            with journal:
                if journal.journal_id in floors:
                    journal.trim(journal.journal_id, floors[journal.journal_id])
                    self._trimmed[journal.journal_id] = floors[journal.journal_id]

    def _take_in(self, entries: Entries) -> list[str]:
        """Decode what was read and let it wait for its turn."""
        if not entries.rows:
            return []
        misfits: list[Misfit] = []
        readable: list[tuple[Decided | Resolved, bytes]] = []
        journal = entries.journal_id
        for seq, payload in entries.rows:
            try:
                record = check_record(decode_record(payload))
            except TsavoError as error:
                misfits.append(Misfit(journal, seq, str(error)))
                continue
            entry = (
                Decided(journal, seq, record)
                if isinstance(record, DecisionRecord)
                else Resolved(journal, seq, record)
            )
            readable.append((entry, payload))
        # What is set aside is on disk before a table says that it has seen the record.
        payloads = {(journal, seq): payload for seq, payload in entries.rows}
        complaints = self._set_aside(misfits, payloads)
        # Whose keys they are must be known before the records can leave the journal: erasing goes by it.
        if keys := keys_of(entry.record for entry, _ in readable):
            self._own(keys.items())
        for entry, payload in readable:
            self._waiting.take_in(entry, payload)
        self._waiting.read(journal, entries.rows[-1][0])
        return complaints

    def _commit(self, queue: Queue, counts: dict[str, int]) -> list[str]:
        """Add what waits in `queue` to its table, each journal's rows with that journal's transaction."""
        decisions = queue.kind == "decisions"
        folders = self._folders
        table = folders.decisions(queue.endpoint) if decisions else folders.outcomes(queue.endpoint)
        if self.log is None:
            return self._append(queue, table, counts)
        with self.log.watching(table.path, lambda between: self._said(queue, between)):
            return self._append(queue, table, counts)

    def _said(self, queue: Queue, between: Mapping[str, tuple[int, int]]) -> pa.Table | None:
        """The rows that the journals' records between two numbers each make; ``None`` when they make none."""
        entries = [
            entry
            for journal, (above, upto) in between.items()
            for entry in queue.entries.get(journal, ())
            if above < entry.seq <= upto
        ]
        return self._lay_out(queue, entries, None)[0]

    def _lay_out(
        self, queue: Queue, entries: Sequence[Decided | Resolved], schema: pa.Schema | None
    ) -> tuple[pa.Table | None, list[Misfit]]:
        """Entries of `queue` as rows of a table that has `schema`, and those that cannot be rows."""
        if queue.kind == "decisions":
            decided = [entry for entry in entries if isinstance(entry, Decided)]
            return lay_out_decisions(decided, self._signature_of, structs_of(schema))
        return lay_out_outcomes([entry for entry in entries if isinstance(entry, Resolved)])

    def _append(self, queue: Queue, table: LakeTable, counts: dict[str, int]) -> list[str]:
        head = table.head(queue.entries)
        entries = [
            entry
            for journal, waiting in queue.entries.items()
            for entry in waiting
            if entry.seq > head.upto(journal)
        ]
        rows, unfit = self._lay_out(queue, entries, head.schema)
        complaints = self._set_aside(unfit, queue.payloads)
        transactions = {journal: self._waiting.upto(journal) for journal in queue.entries}
        if rows is not None and rows.num_rows:
            if not table.append(rows, transactions, head):
                # Another shipper was here: the next round asks the table how far it has come.
                return complaints
            counts[queue.endpoint] = counts.get(queue.endpoint, 0) + rows.num_rows
        self._waiting.done(queue)
        return complaints

    def _set_aside(self, misfits: Sequence[Misfit], payloads: Mapping[tuple[str, int], bytes]) -> list[str]:
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
                    "payload": base64.b64encode(payloads[misfit.journal, misfit.seq]).decode(),
                }
            )
            for misfit in misfits
        ]
        name = f"{misfits[0].journal}-{misfits[0].seq}.jsonl"
        write_atomically(folder / name, b"\n".join(lines) + b"\n")
        if self.log is not None:
            self.log.add_file(folder / name)
        return [f"record {misfit.seq} of journal {misfit.journal}: {misfit.reason}" for misfit in misfits]
