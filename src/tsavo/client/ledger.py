"""What can be asked of the log by which tampering is found."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from tsavo.client.transport import Transport
from tsavo.vocabulary import Consistency, DecisionProof, Inclusion, LedgerView, LogVerdict, TreeHead

__all__ = ["LedgerQuestions"]


class LedgerQuestions:
    """The part of the client that is about the log."""

    _console: Transport

    def ledger(self) -> LedgerView:
        """The log's newest signed head and its public key; note both elsewhere."""
        found: LedgerView = self._console.get("/api/ledger", LedgerView)
        return found

    def ledger_entry(self, number: int) -> Inclusion:
        """An entry of the log, with the proof that it is in it."""
        found: Inclusion = self._console.get(f"/api/ledger/entries/{int(number)}", Inclusion)
        return found

    def ledger_consistency(self, first: int, second: int | None = None) -> Consistency:
        """The proof that the log of `second` entries (by default all that are signed) begins with its `first` ones."""
        found: Consistency = self._console.get(
            "/api/ledger/consistency", Consistency, first=first, second=second
        )
        return found

    def prove_decision(self, decision_id: str) -> DecisionProof:
        """Where a decision stands in the log, with the proofs."""
        found: DecisionProof = self._console.get(
            f"/api/ledger/decisions/{quote(decision_id, safe=':')}", DecisionProof
        )
        return found

    def verify_log(self, *, key: str = "", heads: Iterable[TreeHead] = ()) -> LogVerdict:
        """Hold the whole home against its log.

        Parameters
        ----------
        key
            The log's public key as you noted it; empty believes the home's own.
        heads
            Signed heads that were kept elsewhere.
        """
        given = {"key": key, "heads": [msgspec.to_builtins(head) for head in heads]}
        # The whole lake is read.
        found: LogVerdict = self._console.post("/api/ledger/verify", given, LogVerdict)
        return found
