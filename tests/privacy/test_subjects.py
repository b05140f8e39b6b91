"""A subject's key at hand: the same for the same subject, another after an erasure, never one that is not on disk."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tsavo.privacy import KeyRing, KeyStore, SubjectKeys
from tsavo.vocabulary import Unavailable


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))  # type: ignore[arg-type] # a coroutine, as every test here is

    return run


@contextmanager
def subjects_of(ring: KeyRing, *, stock: int = 8, most: int = 100) -> Iterator[SubjectKeys]:
    subjects = SubjectKeys(ring.new_store, time.time_ns, stock=stock, most=most)
    try:
        yield subjects
    finally:
        subjects.close()


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path, tmp_path / "master.key")


@on_a_loop
async def test_the_same_subject_has_the_same_key(ring: KeyRing) -> None:
    with subjects_of(ring) as subjects:
        first = await subjects.of(["zoe", "ada", "zoe"])
        again = await subjects.of(["ada"])
    assert first[0] is first[2]
    assert first[1] is again[0]
    assert first[0].key_id != first[1].key_id
    assert first[0].pseudonym == ring.pseudonym("zoe")


@on_a_loop
async def test_more_new_subjects_than_keys_in_stock(ring: KeyRing) -> None:
    names = [f"subject {number}" for number in range(500)]
    with subjects_of(ring, most=1_000) as subjects:
        # Many at once, as requests come: each waits for keys that another may take first.
        found = await asyncio.gather(*(subjects.of(names[start : start + 25]) for start in range(0, 500, 25)))
    ids = [key.key_id for keys in found for key in keys]
    assert len(set(ids)) == 500
    # Every one is on disk.
    assert set(ring.open().open(ids).keys) == set(ids)


@on_a_loop
async def test_who_was_let_go_gets_another_key(ring: KeyRing) -> None:
    with subjects_of(ring, most=2) as subjects:
        first = (await subjects.of(["a"]))[0]
        await subjects.of(["b", "c", "d"])
        again = (await subjects.of(["a"]))[0]
    assert again.key_id != first.key_id
    assert again.pseudonym == first.pseudonym


@on_a_loop
async def test_after_an_erasure_a_subject_begins_anew(ring: KeyRing) -> None:
    with subjects_of(ring) as subjects:
        first, other = await subjects.of(["zoe", "ada"])
        store: KeyStore = ring.open()
        store.erase(first.pseudonym, [first.key_id], 1)
        deadline = time.monotonic() + 30
        while (again := (await subjects.of(["zoe"]))[0]).key_id == first.key_id:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert (await subjects.of(["ada"]))[0] is other
    assert store.open([first.key_id, again.key_id]).erased == {first.key_id: 1}


@on_a_loop
async def test_without_a_disk_nothing_is_sealed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ring = KeyRing(tmp_path / "file" / "keys", tmp_path / "master.key")
    with subjects_of(ring) as subjects, pytest.raises(Unavailable):
        await subjects.of(["zoe"])
