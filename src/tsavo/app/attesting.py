"""What the keeper writes to the home's log, and when: commits, audit entries, the registry's rows; heads; anchors."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from tsavo.app.settings import LedgerSettings
from tsavo.governance import audit_rows, chain_of
from tsavo.lake import CommitLog, Lake
from tsavo.ledger import Anchor, Ledger, LedgerStanding, keep_standing, open_anchor, read_standing
from tsavo.registry import registry_mark, row_hashes
from tsavo.storage import Clock, Database, Home
from tsavo.vocabulary import Damaged, TreeHead, TsavoError

__all__ = ["Attestor", "tell_closed"]

_LOG: Final = logging.getLogger("tsavo.ledger")
_PAGE: Final = 1000
_REST: Final = 19
# Whoever asks how the log is doing may get an answer that is so old.
_TELL_SECONDS: Final = 5.0


class Attestor:
    """Keeps the log of one home; the keeper calls it in its rounds.

    Parameters
    ----------
    home
        The home, whose log is opened for writing, or made.
    database
        Its registry.
    lake
        Its lake, whose commits are logged from now on.
    clock
        Tells the time that stands in entries and heads.
    settings
        How often heads are signed, and where they are anchored.
    """

    def __init__(
        self, home: Home, database: Database, lake: Lake, clock: Clock, settings: LedgerSettings
    ) -> None:
        self._database = database
        self._settings = settings
        self._anchor: Anchor | None = open_anchor(settings.anchor) if settings.anchor else None
        self._anchored: TreeHead | None = None
        self._clock = clock
        self._run = home.run
        self.ledger = Ledger(home.ledger, home.cache, clock)
        self._standing = self._first_standing()
        self._told = 0.0
        self._log = CommitLog(home.lake, self.ledger)
        lake.log_to(self._log)
        self._swept = False
        self._signed = time.monotonic()
        self._rows_due = 0.0
        self._tell()

    def round(self) -> None:
        """Log what is new; sign, and anchor, when it is time."""
        if not self._swept:
            # After the first round of shipping, which has held against the journals what can be.
            self._log.sweep()
            self._log_rows(everything=True)
            self._swept = True
        self._log.adopt()
        self._log.flush()
        self._log_audit()
        if time.monotonic() >= self._rows_due:
            self._log_rows(everything=False)
        if time.monotonic() - self._signed >= self._settings.sign_seconds:
            self._signed = time.monotonic()
            self.sign()
        elif time.monotonic() - self._told >= _TELL_SECONDS:
            self._tell()

    def sign(self, *, everything: bool = False) -> TreeHead:
        """Sign all there is, and anchor the head; `everything`: look at all rows though none seems to have changed."""
        try:
            self._log.adopt()
            self._log.flush()
            self._log_audit()
            self._log_rows(everything=everything)
            head = self.ledger.sign()
        except Exception:
            self._tell(sign_failures=self._standing.sign_failures + 1)
            raise
        now = self._clock.now().timestamp()
        self._tell(signed=now, signed_entries=head.size, **self._anchor_head(head, now))
        return head

    def _anchor_head(self, head: TreeHead, now: float) -> dict[str, Any]:
        """Keep a head elsewhere; what there is to say about it."""
        if self._anchor is None:
            return {}
        if head != self._anchored:
            try:
                self._anchor.add(head)
            except TsavoError as error:
                # The log goes on, and the next head binds what this one would have.
                _LOG.error("%s", error)
                failures = self._standing.anchor_failures + 1
                return {"anchor_failures": failures, "anchor_error": f"{error.reason}: {error.found}"}
            self._anchored = head
        return {"anchored": now, "anchored_entries": head.size, "anchor_error": ""}

    def _first_standing(self) -> LedgerStanding:
        """What a keeper before this one anchored stays true of the same log."""
        before, ledger = read_standing(self._run), self.ledger
        if before is None or before.origin != ledger.origin:
            before = LedgerStanding(origin=ledger.origin)
        signed = 0 if ledger.head is None else ledger.head.size
        return msgspec.structs.replace(
            before,
            closed="",
            every=self._settings.sign_seconds,
            # After a clean stop there is nothing that waits, however long ago that was.
            signed=self._clock.now().timestamp() if signed == ledger.size else before.signed,
            signed_entries=signed,
            sign_failures=0,
            anchors=self._anchor is not None,
            anchor_failures=0,
            anchor_error="",
        )

    def _tell(self, **changed: Any) -> None:
        """Say how the log is doing."""
        self._told = time.monotonic()
        self._standing = msgspec.structs.replace(
            self._standing,
            told=self._clock.now().timestamp(),
            entries=self.ledger.size,
            unexpected=len(self.ledger.index.unexpected()),
            **changed,
        )
        keep_standing(self._run, self._standing)

    def stop(self) -> None:
        """Sign what there is and let go of the log."""
        try:
            self.sign(everything=True)
        finally:
            self.ledger.close()

    def _log_audit(self) -> None:
        index = self.ledger.index
        while True:
            with self._database.read() as connection:
                rows = audit_rows(connection, index.last_audit(), _PAGE)
            if not rows:
                return
            chain = index.last_chain()
            entries = []
            for row in rows:
                entry: dict[str, Any] = {"kind": "audit", "row": row, "found": "written"}
                if chain_of(chain, row) != row["chain"]:
                    entry |= {"found": "unexpected", "why": "its hash does not continue the one before"}
                    _LOG.error("entry %s of the audit trail was changed before it was logged", row["id"])
                entries.append(entry)
                chain = row["chain"] or ""
            self.ledger.append(entries)

    def _log_rows(self, *, everything: bool) -> None:
        began, index = time.monotonic(), self.ledger.index
        with self._database.read() as connection:
            mark = registry_mark(connection)
            if mark == index.mark() and not everything:
                return
            now = row_hashes(connection)
        # While thousands are registered, looking at all rows again and again takes a twentieth of the time.
        self._rows_due = time.monotonic() + _REST * (time.monotonic() - began)
        entries = list(_changes({name: index.rows(name) for name in now}, now))
        if not entries:
            return
        found = {"found": "written"}
        if mark == index.mark():
            found = {"found": "unexpected", "why": "they changed, and no change was made by Tsavo"}
            _LOG.error("rows of the registry were changed by somebody else: %s", _told(entries))
        tables = {name: _digest(rows) for name, rows in now.items()}
        self.ledger.append(
            [{"kind": "rows", "mark": mark, **found, **entry} for entry in entries[:-1]]
            + [{"kind": "rows", "mark": mark, **found, **entries[-1], "tables": tables}]
        )


def tell_closed(home: Home, clock: Clock, why: Damaged) -> None:
    """Say that nothing is written to the log of `home`, and why."""
    before = read_standing(home.run) or LedgerStanding()
    told = f"{why.reason} ({why.field}: {why.found})"
    keep_standing(home.run, msgspec.structs.replace(before, told=clock.now().timestamp(), closed=told))


def _changes(
    before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]
) -> Iterator[dict[str, Any]]:
    """What became of the tables' rows, in pieces that make lines of a bearable length."""
    changed = [
        (name, [key, digest])
        for name, rows in now.items()
        for key, digest in rows.items()
        if before[name].get(key) != digest
    ]
    gone = [(name, key) for name, rows in now.items() for key in before[name] if key not in rows]
    for start in range(0, max(len(changed), len(gone)), _PAGE):
        parts: dict[str, dict[str, list[Any]]] = {"changed": {}, "gone": {}}
        for name, pair in changed[start : start + _PAGE]:
            parts["changed"].setdefault(name, []).append(pair)
        for name, key in gone[start : start + _PAGE]:
            parts["gone"].setdefault(name, []).append(key)
        yield parts


def _digest(rows: Mapping[str, str]) -> dict[str, Any]:
    """A whole table as one hash: over its keys and its rows' hashes, a line each, in order."""
    lines = "".join(f"{key} {rows[key]}\n" for key in sorted(rows))
    return {"rows": len(rows), "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def _told(entries: list[dict[str, Any]]) -> str:
    names = [
        f"{name} {key}"
        for entry in entries
        for name, keys in (*entry["changed"].items(), *entry["gone"].items())
        for key in (part[0] if isinstance(part, list) else part for part in keys)
    ]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
