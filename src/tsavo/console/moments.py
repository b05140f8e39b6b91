"""Moments as callers give them."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["aware"]


def aware(moment: datetime | None) -> datetime | None:
    """A moment without a zone is in UTC, as all times here are."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
