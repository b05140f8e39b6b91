"""One page of a long list."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

__all__ = ["Page"]

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Items of one page, and where the next one starts (``None`` on the last page)."""

    items: tuple[T, ...]
    total: int
    offset: int
    limit: int

    @property
    def next_offset(self) -> int | None:
        """The offset of the next page, ``None`` on the last one."""
        after = self.offset + len(self.items)
        return after if after < self.total and self.items else None
