"""Where a decision stands in the log by which tampering is found: for its receipt, and the proofs for an auditor."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from tsavo.lake import Lake
from tsavo.ledger import Index, KnownFile, LedgerReader, read_head, read_standing
from tsavo.storage import Home
from tsavo.vocabulary import DecisionProof, NotFound, TreeHead

__all__ = ["DecisionLogged", "decision_logged", "prove_decision"]


class DecisionLogged(msgspec.Struct, frozen=True):
    """Where a decision stands in the log.

    Attributes
    ----------
    state
        ``proven``: it is in the signed log; ``logged``: it is in the log, and no head was signed since; ``recorded``:
        it is on its way there; ``unlogged``: nothing logs it now, as `said` tells.
    said
        The same as a sentence.
    shipped
        The number of the entry (the leaf) of the commit that brought it to the lake.
    file, sha256, kept
        The file that has its row now, the SHA-256 that the log has of it, and the number of the entry that says so.
    head
        The newest signed head, which both proofs lead to.
    proof
        Where the control API has the proofs; ``None`` while there are none.
    """

    state: Literal["proven", "logged", "recorded", "unlogged"]
    said: str
    shipped: int | None = None
    file: str | None = None
    sha256: str | None = None
    kept: int | None = None
    head: TreeHead | None = None
    proof: str | None = None


class _Place(NamedTuple):
    """What the log's index, if there is one, knows of a decision; ``None`` for what it does not."""

    table: str
    file: str | None = None
    shipped: int | None = None
    known: KnownFile | None = None
    indexed: bool = True


def decision_logged(home: Home, lake: Lake, decision: Mapping[str, Any]) -> DecisionLogged:
    """Where a decision, as `Lake.decision` gives it, stands in the log of `home`."""
    head = read_head(LedgerReader(home.ledger).files.head)
    place, told = _find(home, lake, decision), read_standing(home.run)
    if place.shipped is None and place.known is not None:
        return DecisionLogged(
            "unlogged",
            f"its file is in the log (entry {place.known.number}); it came to the lake before the log began,"
            " and no entry vouches for its way there",
            file=place.file,
            sha256=place.known.sha256,
            kept=place.known.number,
            head=head,
        )
    if place.shipped is None or place.known is None or place.file is None:
        if told is not None and told.closed:
            return DecisionLogged("unlogged", f"not in the log, which is closed: {told.closed}", head=head)
        if head is None and told is None:
            return DecisionLogged("unlogged", "not in a log: this home has none yet")
        if not place.indexed:
            said = "in the lake; the index of the log is missing, and the keeper makes it again at its start"
            return DecisionLogged("recorded", said, head=head)
        where = "in the journal" if place.file is None else "in the lake"
        return DecisionLogged(
            "recorded", f"{where}, not in the log yet; the keeper logs it in its next rounds", head=head
        )
    entries = f"entry {place.shipped}"
    if place.known.number != place.shipped:
        entries += f", its file since merged in entry {place.known.number}"
    logged = DecisionLogged(
        "logged",
        f"in the log ({entries}), not signed yet; the keeper signs at an interval (ledger.sign_seconds)",
        shipped=place.shipped,
        file=place.file,
        sha256=place.known.sha256,
        kept=place.known.number,
        head=head,
    )
    if head is None or max(place.shipped, place.known.number) >= head.size:
        return logged
    return msgspec.structs.replace(
        logged,
        state="proven",
        said=f"in the signed log ({entries}), under the head of {head.size:,} entries of {head.time}",
        proof=f"/api/ledger/decisions/{decision['decision_id']}",
    )


def prove_decision(home: Home, lake: Lake, decision_id: str) -> DecisionProof:
    """Where a decision stands in the log, with the proofs.

    Raises
    ------
    Invalid, NotFound
        It is no decision id; there is no such decision, or it is not in the signed log yet.
    """
    decision = lake.decision(decision_id)
    reader = LedgerReader(home.ledger)
    reader.head()
    place = _find(home, lake, decision)
    if place.shipped is None or place.known is None or place.file is None:
        raise NotFound(
            "this decision is not in the signed log yet",
            field="decision_id",
            found=decision_id,
            next_step="the keeper ships (keeper.hold_seconds) and signs (ledger.sign_seconds) now and then: ask again",
        )
    return DecisionProof(
        decision_id,
        place.table,
        decision["journal"],
        decision["seq"],
        reader.inclusion(place.shipped),
        place.file,
        reader.inclusion(place.known.number),
    )


def _find(home: Home, lake: Lake, decision: Mapping[str, Any]) -> _Place:
    endpoint = decision["endpoint"]
    table = f"{home.lake.name}/decisions/{endpoint}"
    path = lake.file_of(endpoint, decision["decision_id"])
    if path is None:
        return _Place(table)
    file = path.relative_to(home.root).as_posix()
    try:
        index = Index(home.cache / "ledger.db", writable=False)
        try:
            return _Place(
                table, file, index.shipment(table, decision["journal"], decision["seq"]), index.file(file)
            )
        finally:
            index.close()
    except sqlite3.Error:
        # The index follows from the log, and may be deleted; the keeper makes it again at its start.
        return _Place(table, file, indexed=False)
