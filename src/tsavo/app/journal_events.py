"""What happened to the journals, for the audit trail: damage, and answers that were given unrecorded.

An entry is written once, however often the keeper is killed in between: it is looked for before it is written.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import msgspec

from tsavo.app.parts import Parts
from tsavo.governance import audit, list_audit
from tsavo.journal import Journal, damage_reports, journals, mend
from tsavo.storage import Home
from tsavo.vocabulary import TsavoError

__all__ = ["JournalEvents"]

_WHO: Final = "keeper"
_LATEST: Final = 100


class JournalEvents:
    """Looks after the journals of a home, between two rounds of shipping."""

    def __init__(self, home: Home, parts: Parts) -> None:
        self._folder = home.journal
        self._parts = parts
        self._told: set[str] = set()

    def round(self) -> list[str]:
        """Save what can be read of damaged journals, and write down what is new; a sentence for each."""
        mend(self._folder, self._parts.clock.nanoseconds())
        said = []
        for report in damage_reports(self._folder):
            if report.file in self._told or report.salvaged is None:
                continue
            why = (
                f"{report.why}; {report.salvaged} records were saved, {report.lost_records} are lost; "
                f"the file is kept as {report.file}"
            )
            if self._tell("journal-damaged", f"journal:{report.journal}", why, msgspec.to_builtins(report)):
                said.append(f"a journal was damaged: {why}")
            self._told.add(report.file)
        return said + self._gaps()

    def _gaps(self) -> list[str]:
        said = []
        for path in journals(self._folder):
            with suppress(TsavoError), Journal(path) as journal:
                for gap in journal.gaps():
                    if gap.told:
                        continue
                    why = f"{gap.decisions} decisions were answered and are not recorded, because the disk took nothing"
                    about = {"journal": path.name, "answers": gap.answers, "decisions": gap.decisions,
                             "first": gap.first, "last": gap.last}  # fmt: skip
                    if self._tell("journal-gap", f"journal:{journal.journal_id}", why, about):
                        said.append(why)
                    journal.tell_gap(gap)
        return said

    def _tell(self, action: str, subject: str, why: str, about: dict[str, Any]) -> bool:
        """Write one entry unless it is there; return whether it was written."""
        with self._parts.database.begin() as connection:
            known = list_audit(connection, subject=subject, limit=_LATEST).items
            if any(entry.action == action and entry.after == about for entry in known):
                return False
            now = self._parts.clock.now()
            audit(connection, time=now, who=_WHO, action=action, subject=subject, why=why, after=about)
        return True
