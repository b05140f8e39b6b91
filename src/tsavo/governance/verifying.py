"""A home held against its log: all of it, the registry by its rows, on either engine."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from tsavo.governance.audit import audit_rows
from tsavo.ledger import LedgerReader, PublicKey, verify_home
from tsavo.registry import row_hashes
from tsavo.storage import Database, Home, canonical, write_atomically
from tsavo.vocabulary import LedgerView, LogVerdict, TreeHead

__all__ = ["keep_verdict", "ledger_view", "verify_log"]

_PAGE: Final = 5000
_VERDICT: Final = "ledger-verified.json"
# A keeper that runs writes an entry moments after the thing that it speaks of.
_TRIES: Final = 6
_PAUSE_SECONDS: Final = 1.5


def verify_log(
    home: Home,
    database: Database,
    *,
    anchors: Sequence[TreeHead] = (),
    key: str = "",
    running: bool = False,
) -> LogVerdict:
    """Verify a home.

    Parameters
    ----------
    anchors
        Heads that were kept elsewhere.
    key
        The log's public key, from elsewhere; empty for the home's own.
    running
        Whether the home is in use: what does not fit is looked at again, for it may be newer than its entry.

    Raises
    ------
    Invalid
        `key` is none.
    NotFound
        Nothing was signed in this home yet.
    """
    given = PublicKey.parse(key) if key else None
    for left in reversed(range(_TRIES if running else 1)):
        rows = _rows(database)
        verdict = verify_home(home.ledger, home.root, rows, anchors, given)
        if verdict.ok or not left:
            return verdict
        time.sleep(_PAUSE_SECONDS)
    return verdict


def ledger_view(home: Home) -> LedgerView:
    """A home's log at a glance; raise `NotFound` when nothing was signed yet."""
    reader = LedgerReader(home.ledger)
    head, key = reader.head(), reader.public_key()
    return LedgerView(str(key), head, key.note(head), reader.entries(), _last_verdict(home))


def keep_verdict(home: Home, verdict: LogVerdict) -> None:
    """Keep what a verification found, to be shown until the next one."""
    write_atomically(home.run / _VERDICT, msgspec.json.encode(verdict))


def _last_verdict(home: Home) -> LogVerdict | None:
    try:
        return msgspec.json.decode((home.run / _VERDICT).read_bytes(), type=LogVerdict)
    except (OSError, msgspec.MsgspecError):
        return None


def _rows(database: Database) -> dict[str, dict[str, str]]:
    with database.read() as connection:
        found = row_hashes(connection)
        found["audit"] = {}
        last = 0
        while page := audit_rows(connection, last, _PAGE):
            last = page[-1]["id"]
            for row in page:
                found["audit"][canonical([row["id"]]).decode()] = hashlib.sha256(canonical(row)).hexdigest()
    return found
