"""A home that is stopped, opened for reading: what was decided stays answerable when nothing runs."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa

from tsavo.app.parts import Parts, build_parts
from tsavo.app.settings import load_settings
from tsavo.registry import get_version
from tsavo.storage import Home
from tsavo.vocabulary import NotFound, VersionRef

__all__ = ["OfflineHome", "open_home"]


class OfflineHome:
    """Read-only questions to a stopped home."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def sql(self, query: str, limit: int) -> pa.Table:
        """Run one SELECT over the lake and the journals; at most `limit` rows."""
        return self._parts.lake.sql(query, rows=limit)

    def decision(self, decision_id: str) -> dict[str, Any]:
        """One decision with the version that made it; raise `NotFound` when there is none."""
        decision: dict[str, Any] = self._parts.lake.decision(decision_id)
        ref = VersionRef(decision["model"], decision["version"])
        with self._parts.database.read() as connection:
            version = get_version(connection, ref)
        return {"decision": decision, "version": msgspec.to_builtins(version)}


def open_home(home: Home) -> OfflineHome:
    """Open a home for reading; raise `NotFound` when nothing was ever kept there."""
    if not home.exists():
        raise NotFound(
            "there is no Tsavo home here",
            field="home",
            found=str(home.root),
            next_step="start one with 'tsavo up --detach', or name another with --home DIR",
        )
    return OfflineHome(build_parts(home, load_settings(home), read_only=True))
