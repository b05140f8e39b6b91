"""The log by which tampering is found: its head, proofs, and verifications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tsavo.console.crowding import Turnstile
from tsavo.console.declaring import act, look
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right, keep_verdict, ledger_view, prove_decision, verify_log
from tsavo.ledger import LedgerReader
from tsavo.vocabulary import (
    Consistency,
    DecisionProof,
    Inclusion,
    LedgerView,
    LogVerdict,
    TreeHead,
)

__all__ = ["LEDGER_ROUTES", "verify_now"]

# It reads the whole lake.
_VERIFICATIONS: Final = Turnstile("verifications of the log", most=1, patience=0.0)


class VerifyLogGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was kept elsewhere: the log's public key, and signed heads."""

    key: str = ""
    heads: tuple[TreeHead, ...] = ()


@look("/api/ledger", summary="The log's newest signed head")
def ledger_head(parts: ConsoleParts) -> LedgerView:
    """The head, also as a signed note; the public key; and what the last verification found."""
    return ledger_view(parts.home)


@look("/api/ledger/entries/{number:int}", summary="An entry of the log, with its proof")
def ledger_entry(parts: ConsoleParts, number: int) -> Inclusion:
    """Entry `number` (from 0) as it was hashed, and the path to the signed root (RFC 9162, 2.1.3)."""
    return LedgerReader(parts.home.ledger).inclusion(number)


@look("/api/ledger/consistency", summary="The proof that the log only grew")
def ledger_consistency(parts: ConsoleParts, first: int, second: int | None = None) -> Consistency:
    """That the log of `second` entries (the signed head's) begins with its first `first` (RFC 9162, 2.1.4)."""
    return LedgerReader(parts.home.ledger).consistency(first, second)


@look("/api/ledger/decisions/{decision:str}", Right.QUERY, summary="The proof of a decision")
def decision_proof(parts: ConsoleParts, decision: str) -> DecisionProof:
    """The entries of the commit that brought a decision to the lake and of the file that has it now."""
    return prove_decision(parts.home, parts.lake, decision)


@act("/api/ledger/verify", Right.QUERY, summary="Verify the log, the lake and the registry")
def ledger_verify(parts: ConsoleParts, who: Principal, data: VerifyLogGiven) -> LogVerdict:
    """Hold every entry against the signed roots, and every file and row against the entries."""
    return verify_now(parts, data.key, data.heads)


def verify_now(parts: ConsoleParts, key: str = "", heads: Sequence[TreeHead] = ()) -> LogVerdict:
    """Verify, and keep what was found for those who look later; raise `Overloaded` while another one runs."""
    with _VERIFICATIONS.turn():
        verdict = verify_log(parts.home, parts.plane.database, anchors=heads, key=key, running=True)
    keep_verdict(parts.home, verdict)
    return verdict


LEDGER_ROUTES = [ledger_head, ledger_entry, ledger_consistency, decision_proof, ledger_verify]
