from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsavo.vocabulary import Page


@given(st.integers(0, 60), st.integers(1, 20))
def test_following_the_pages_visits_everything_once(total: int, limit: int) -> None:
    everything = list(range(total))
    visited: list[int] = []
    offset: int | None = 0
    while offset is not None:
        page = Page(tuple(everything[offset : offset + limit]), total, offset, limit)
        visited.extend(page.items)
        offset = page.next_offset
    assert visited == everything
