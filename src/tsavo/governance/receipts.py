"""The receipt of a decision: everything that is known about it, in one piece."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from tsavo.governance.audit import AuditEntry, list_audit
from tsavo.governance.logged import DecisionLogged, decision_logged
from tsavo.lake import Lake
from tsavo.registry import get_version, list_verifications
from tsavo.runtimes.fingerprint import Fingerprint, read_fingerprint
from tsavo.storage import Connection, Database, Home
from tsavo.vocabulary import Verification, Version, VersionRef

__all__ = ["Receipt", "receipt"]

_PAGE: Final = 100
# Of the changes of an endpoint, how far back who put a version there is looked for.
_MOST_ENTRIES: Final = 5_000


class Receipt(msgspec.Struct, frozen=True):
    """One decision, and how it came about.

    Attributes
    ----------
    decision
        What came in, what went out, what became of it, and what shadows said to the same row; see `Lake.decision`.
    version
        What made it: with its lineage (training data, code, who registered it) and its checks.
    deployed
        The change that put this version where it answered: who, when, why. ``None`` when it is not in the audit trail.
    verified
        What the last verification of the version found.
    runtime
        What scored: libraries, processor, threads. ``None`` for decisions of releases that did not keep it.
    log
        Where it stands in the log by which tampering is found.
    """

    decision: dict[str, Any]
    version: Version
    deployed: AuditEntry | None = None
    verified: Verification | None = None
    runtime: Fingerprint | None = None
    log: DecisionLogged | None = None


def receipt(database: Database, lake: Lake, home: Home, decision_id: str) -> Receipt:
    """The receipt of a decision.

    Parameters
    ----------
    home
        Where the documents of what scored are kept, and the log.

    Raises
    ------
    Invalid, NotFound
        When it is no decision id, or there is no such decision.
    """
    decision = lake.decision(decision_id)
    ref = VersionRef(decision["model"], decision["version"])
    with database.read() as connection:
        version = get_version(connection, ref)
        deployed = _deployed(connection, decision["endpoint"], decision["segment"], ref, decision["time"])
        verified = list_verifications(connection, ref, limit=1).items
    return Receipt(
        decision,
        version,
        deployed,
        verified[0] if verified else None,
        read_fingerprint(decision["runtime"] or "", home.runtimes),
        decision_logged(home, lake, decision),
    )


def _deployed(
    connection: Connection, endpoint: str, segment: str | None, ref: VersionRef, time: datetime
) -> AuditEntry | None:
    """The last change before `time` after which an endpoint named a version that it had not named before."""
    offset: int | None = 0
    while offset is not None and offset < _MOST_ENTRIES:
        page = list_audit(connection, subject=f"endpoint:{endpoint}", offset=offset, limit=_PAGE)
        for entry in page.items:
            if entry.time > time or not _names(entry.after, ref, segment):
                continue
            if not _names(entry.before, ref, segment):
                return entry
        offset = page.next_offset
    return None


def _names(changed: Any, ref: VersionRef, segment: str | None) -> bool:
    """Whether a route, or the member of a family for `segment`, names the version; both as the audit trail has them."""
    if not isinstance(changed, dict):
        return False
    members = changed.get("members")
    if isinstance(members, dict):
        member = members.get(segment)
        return str(ref) == (member.get("version") if isinstance(member, dict) else member)
    steps = [*(changed.get("challengers") or ()), *(changed.get("fallback") or ())]
    named = [changed.get("champion"), *(step.get("version") for step in steps)]
    return msgspec.to_builtins(ref) in named
