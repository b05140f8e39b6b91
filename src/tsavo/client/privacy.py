"""Personal data: looking at it, and erasing whose it is."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import quote

import msgspec

from tsavo.client.decisions import DecisionQuestions
from tsavo.vocabulary import Erasure, Page, Revealed, Unavailable

__all__ = ["PrivacyQuestions"]

_LOOK_SECONDS: Final = 0.2


class _Pseudonym(msgspec.Struct, frozen=True):
    pseudonym: str


class PrivacyQuestions(DecisionQuestions):
    """The part of the client that is about people."""

    def erase(self, subject: str | int, why: str, *, wait_seconds: float = 60.0) -> Erasure:
        """Erase a data subject: what is sealed under their key can be read by nobody from now on.

        Parameters
        ----------
        subject
            The key by which callers know the subject.
        why
            Kept in the audit trail; must not name the subject.
        wait_seconds
            How long to wait for the keeper to see to backups and to rows in plain text. The keys are destroyed before
            that, and the keeper goes on by itself.

        Raises
        ------
        Invalid
            It can be nobody's key, or there is no reason.
        Unavailable
            The keeper has not finished in time; the erasure is pending.
        """
        erasure: Erasure = self._console.post("/api/erasures", {"subject": subject, "why": why}, Erasure)
        deadline = time.monotonic() + wait_seconds
        while erasure.pending:
            if time.monotonic() > deadline:
                raise Unavailable(
                    "the keys are destroyed, but the keeper has not seen to backups and to rows in plain text yet",
                    field="erasure",
                    found=erasure.id,
                    next_step="see 'tsavo erase --list', and 'tsavo doctor' for how the keeper is",
                )
            time.sleep(_LOOK_SECONDS)
            erasure = self.erasure(erasure.id)
        return erasure

    def erasure(self, erasure_id: str) -> Erasure:
        """An erasure by its id."""
        found: Erasure = self._console.get(f"/api/erasures/{quote(erasure_id, safe='')}", Erasure)
        return found

    def erasures(self, *, subject: str | None = None, offset: int = 0, limit: int = 50) -> Page[Erasure]:
        """Erasures, the newest first; of one pseudonym, if it is given."""
        found: Page[Erasure] = self._console.get(
            "/api/erasures", Page[Erasure], subject=subject, offset=offset, limit=limit
        )
        return found

    def pseudonym(self, subject: str | int) -> str:
        """The name under which a subject's decisions are found in SQL: the column ``pseudonym`` of ``decisions``."""
        told: _Pseudonym = self._console.post("/api/pseudonyms", {"subject": subject}, _Pseudonym)
        return told.pseudonym

    def reveal(self, decision_id: str, why: str) -> Revealed:
        """The personal values of a decision. Who looked and why is in the audit trail before they are shown."""
        path = f"/api/decisions/{quote(decision_id, safe='')}/reveal"
        found: Revealed = self._console.post(path, {"why": why}, Revealed)
        return found
