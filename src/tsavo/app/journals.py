"""A process's journal, as the settings want it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from tsavo.app.settings import Settings
from tsavo.journal import Bounds, JournalWriter, WhenFull
from tsavo.storage import Home
from tsavo.vocabulary import DecisionRecord, TsavoError, decode_record

__all__ = ["open_journal"]


def open_journal(home: Home, settings: Settings, name: str, nanoseconds: Callable[[], int]) -> JournalWriter:
    """The journal that this process writes; raise `Unavailable` when it cannot be made."""
    chosen, gateway = settings.journal, settings.gateway
    return JournalWriter(
        home.journal / f"{name}.db",
        reply_seconds=gateway.idempotency_minutes * 60,
        reply_bytes=gateway.idempotency_mib << 20,
        nanoseconds=nanoseconds,
        when_full=cast(WhenFull, chosen.when_full),
        spill=Path(chosen.spill) if chosen.spill else None,
        bounds=Bounds(int(chosen.most_gib * (1 << 30)), chosen.least_free_mib << 20),
        patience_seconds=chosen.patience_seconds,
        weigh=_decisions,
        moment=_moment,
    )


def _decisions(payload: bytes) -> int:
    try:
        record = decode_record(payload)
    except TsavoError:
        return 1
    return record.rows if isinstance(record, DecisionRecord) else 1


def _moment(payload: bytes) -> int:
    try:
        return decode_record(payload).time
    except TsavoError:
        return 0
