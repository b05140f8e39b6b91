"""What the doctor looks at in the log by which tampering is found: whether it is whole, signed in time, and anchored.

This takes milliseconds, whatever the log's size: the newest head's signature, the root that the tree of hashes leads
to, and the number of entries. Whether each entry, file and row is what it was is for ``tsavo verify-log``.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final, NamedTuple

from tsavo.app.doctor_journal import Examination, duration
from tsavo.app.settings import load_settings
from tsavo.ledger import LedgerReader, LedgerStanding, open_anchor, read_head, read_standing
from tsavo.storage import Home
from tsavo.vocabulary import Damaged, TreeHead

__all__ = ["examine_anchor", "examine_ledger"]

_LOG: Final = "log"
_ANCHOR: Final = "log anchor"
_VERIFY: Final = (
    "run 'tsavo verify-log' for the place; docs/audit.md, 'When the log itself is damaged', says how to go on"
)


class _Late(NamedTuple):
    """Entries behind a head, and for how many seconds the oldest of them has waited."""

    entries: int
    seconds: float


def examine_ledger(home: Home) -> Examination:
    """Whether the log is there and open, its newest head verifies, and nothing waits for long to be signed."""
    try:
        return _ledger(home, read_standing(home.run) or LedgerStanding(), LedgerReader(home.ledger))
    except Damaged as error:
        found = f"{error.reason}: {error.field} has {error.found}"
        return Examination(_LOG, ok=False, found=found, mend=_VERIFY)


def _ledger(home: Home, told: LedgerStanding, reader: LedgerReader) -> Examination:
    if read_head(reader.files.head) is None and not any(reader.files.segments.glob("*.jsonl")):
        if told.entries:
            found = f"the log is gone; it had {told.entries:,} entries"
            return Examination(_LOG, ok=False, found=found, mend="restore the folder 'ledger' from a backup")
        return Examination(_LOG, ok=True, found="none yet; the keeper begins it")
    checked = reader.check()
    if told.closed:
        found = f"closed since the keeper started: {told.closed}"
        return Examination(_LOG, ok=False, found=found, mend=_VERIFY)
    if checked is None:
        return Examination(_LOG, ok=True, found="nothing is signed yet; the keeper does so within moments")
    text = f"{checked.size:,} entries signed, head of {checked.time} verifies"
    late = _unsigned(reader, checked)
    if told.unexpected:
        text += (
            f"; {told.unexpected:,} entries are about what somebody else did ('tsavo verify-log' lists them)"
        )
    if late.entries:
        text += f"; {late.entries:,} wait to be signed, the oldest for {duration(late.seconds)}"
    settings = load_settings(home).ledger
    patience = LedgerStanding(every=settings.sign_seconds).late_seconds
    if late.seconds <= patience:
        return Examination(_LOG, ok=True, found=text)
    if home.addresses() is None:
        mend = "the keeper signs them when 'tsavo up' runs again: it did not stop in order"
        return Examination(_LOG, ok=True, found=text, mend=mend)
    mend = f"see why the keeper does not sign: {home.logs / 'keeper.log'}"
    return Examination(_LOG, ok=False, found=text, mend=mend)


def examine_anchor(home: Home) -> Examination:
    """Whether the heads that are kept elsewhere are there, fit the log, and are not behind."""
    settings = load_settings(home).ledger
    if not settings.anchor:
        # No fault, and no secret: many a home has nobody whom it must convince.
        found = "heads are kept nowhere else (ledger.anchor): whoever can write the home can rewrite its log"
        return Examination(_ANCHOR, ok=True, found=found)
    told, reader = read_standing(home.run) or LedgerStanding(), LedgerReader(home.ledger)
    head = read_head(reader.files.head)
    if head is None:
        return Examination(_ANCHOR, ok=True, found=f"{settings.anchor}: nothing is signed yet")
    # What was given away long ago, an auditor looks at ('tsavo verify-log --anchor').
    kept = open_anchor(settings.anchor).heads(told.anchored_entries if told.origin == head.origin else 0)
    mine = [one for one in kept if one.origin == head.origin]
    if not mine:
        return _not_anchored(settings.anchor, told)
    newest = max(mine, key=lambda one: one.size)
    text = f"{settings.anchor} has the head of {newest.size:,} entries, of {newest.time}"
    if (wrong := reader.contradiction(newest)) is not None:
        mend = "the log is not the one that was anchored: restored from an old backup, or rewritten; see docs/audit.md"
        return Examination(_ANCHOR, ok=False, found=f"{text}; {wrong}", mend=mend)
    behind = head.size - newest.size
    waits = _age(head.time) if behind else 0.0
    if told.anchor_error:
        text += f"; the last try failed: {told.anchor_error}"
    if behind:
        text += f"; {behind:,} signed entries are not anchored, for {duration(waits)}"
    good = waits <= LedgerStanding(every=settings.sign_seconds).late_seconds and not told.anchor_error
    mend = (
        ""
        if good
        else "mend the place, or correct ledger.anchor; the next head binds all that the missed ones did"
    )
    return Examination(_ANCHOR, good, text, mend)


def _not_anchored(anchor: str, told: LedgerStanding) -> Examination:
    if told.anchor_error:
        found, mend = (
            f"{anchor} takes nothing: {told.anchor_error}",
            "mend the place, or correct ledger.anchor",
        )
    elif told.anchored_entries:
        found = f"{anchor} has not the head of {told.anchored_entries:,} entries that was kept there"
        mend = "see who took it away; that it went shows that the place does not keep what it is given"
    else:
        return Examination(_ANCHOR, ok=True, found=f"{anchor} has no head yet")
    return Examination(_ANCHOR, ok=False, found=found, mend=mend)


def _unsigned(reader: LedgerReader, head: TreeHead) -> _Late:
    """What came since the head; its age is that of the first entry."""
    waiting = reader.entries() - head.size
    if waiting <= 0:
        return _Late(0, 0.0)
    line = reader.line(head.size)
    try:
        return _Late(waiting, 0.0 if line is None else _age(json.loads(line)["time"]))
    except (ValueError, KeyError):
        # It was never signed; whether it is an entry, the keeper finds out at its start.
        return _Late(waiting, 0.0)


def _age(moment: str) -> float:
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
