"""Entries of the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

__all__ = ["AuditEntry"]


class AuditEntry(msgspec.Struct, frozen=True):
    """One change: `before` and `after` are the changed thing as JSON values."""

    id: int
    time: datetime
    who: str
    action: str
    subject: str
    why: str
    before: Any = None
    after: Any = None
