"""A home that is stopped, opened for reading: what was decided stays answerable when nothing runs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa

from tsavo.actions import replay_decision
from tsavo.app.parts import Parts, build_parts
from tsavo.app.settings import load_settings
from tsavo.client.files import Exported, file_kind, whole_file
from tsavo.governance import ledger_view, local_owner, prove_decision, receipt, verify_log
from tsavo.lake import Allowance, write_answer
from tsavo.storage import Home
from tsavo.vocabulary import DecisionProof, LedgerView, LogVerdict, NotFound, Replay, TreeHead

__all__ = ["OfflineHome", "open_home"]


class OfflineHome:
    """Read-only questions to a stopped home."""

    def __init__(self, parts: Parts, home: Home) -> None:
        self._parts = parts
        self._home = home

    def sql(
        self,
        query: str,
        *,
        limit: int = 10_000,
        seconds: float = 30.0,
        memory_mib: int = 2048,
        as_of: datetime | None = None,
    ) -> pa.Table:
        """Run one SELECT over the lake and the journals; as `tsavo.Client.sql`."""
        return self._parts.lake.sql(query, rows=limit, seconds=seconds, memory_mib=memory_mib, as_of=as_of)

    def export(
        self,
        query: str,
        path: Path | str | IO[bytes],
        *,
        format: str | None = None,
        raw: bool = False,
        limit: int = 10_000_000,
        seconds: float = 300.0,
        memory_mib: int = 2048,
        as_of: datetime | None = None,
    ) -> Exported:
        """Run one SELECT and write its rows to a file; as `tsavo.Client.export`."""
        kind = (
            file_kind(Path(path), format)
            if isinstance(path, str | Path)
            else file_kind(Path("-"), format or "csv")
        )
        with self._parts.lake.ask(query, Allowance(limit, seconds, memory_mib), as_of=as_of) as answer:
            if isinstance(path, str | Path):
                with whole_file(Path(path)) as file:
                    write_answer(answer, file, kind, raw=raw)
            else:
                write_answer(answer, path, kind, raw=raw)
        return Exported(answer.rows, answer.truncated)

    def decision(self, decision_id: str) -> dict[str, Any]:
        """The receipt of a decision; raise `NotFound` when there is none."""
        parts = self._parts
        told = receipt(parts.database, parts.lake, self._home, decision_id)
        # As it would have come over the wire.
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told, enc_hook=str))
        return plain

    def replay(self, decision_id: str) -> Replay:
        """Ask the version of a decision again; as `tsavo.Client.replay`."""
        parts = self._parts
        return replay_decision(parts.control, parts.lake, local_owner("offline"), decision_id)

    def ledger(self) -> LedgerView:
        """The log's newest signed head and its public key."""
        return ledger_view(self._home)

    def prove_decision(self, decision_id: str) -> DecisionProof:
        """Where a decision stands in the log, with the proofs."""
        return prove_decision(self._home, self._parts.lake, decision_id)

    def verify_log(self, *, key: str = "", heads: Iterable[TreeHead] = ()) -> LogVerdict:
        """Hold the whole home against its log; as `tsavo.Client.verify_log`."""
        return verify_log(self._home, self._parts.database, anchors=tuple(heads), key=key)


def open_home(home: Home) -> OfflineHome:
    """Open a home for reading; raise `NotFound` when nothing was ever kept there."""
    if not home.exists():
        raise NotFound(
            "there is no Tsavo home here",
            field="home",
            found=str(home.root),
            next_step="start one with 'tsavo up --detach', or name another with --home DIR",
        )
    return OfflineHome(build_parts(home, load_settings(home), read_only=True), home)
