from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from tsavo.endpoints import LoadedVersion, VersionShelf
from tsavo.vocabulary import Batch, Field, Lineage, Output, Signature, Version, VersionRef

SIGNATURE = Signature((Field("x", "float64"),), (Output("value", "float64"),), "regression")
MIB = 1 << 20


class Same:
    """A runtime whose artifact is said to be large."""

    signature = SIGNATURE

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        return (np.zeros(batch.rows),)


def version(ref: VersionRef, artifact_bytes: int, artifact: str = "") -> Version:
    return Version(
        ref.model,
        ref.number,
        "d" * 64,
        artifact or str(ref),
        artifact_bytes,
        "onnx",
        SIGNATURE,
        Lineage("me", "f", "skops", "s" * 64, "none"),
        (),
        datetime(2026, 1, 1, tzinfo=UTC),
    )


class Shelf:
    """A shelf, and what it loaded in order."""

    def __init__(self, budget: int | None, artifact_bytes: int = MIB // 5, artifact: str = "") -> None:
        self.loads: list[int] = []
        self.threads = ThreadPoolExecutor(2)

        def load(ref: VersionRef) -> LoadedVersion:
            self.loads.append(ref.number)
            return LoadedVersion(
                version(ref, artifact_bytes, artifact), Same(), max_rows=10, threads=self.threads
            )

        self.shelf = VersionShelf(load, self.threads, budget=budget)

    async def ask(self, *numbers: int) -> None:
        for number in numbers:
            loaded = await self.shelf.get(VersionRef("m", number))
            assert loaded.ref.number == number

    def kept(self) -> set[int]:
        return {number for number in range(1000) if VersionRef("m", number) in self.shelf._ready}


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_who_was_asked_for_longest_ago_is_let_go() -> None:
    async def test() -> None:
        world = Shelf(budget=4 * MIB)
        await world.ask(1, 2, 3, 1, 4, 5)
        assert world.kept() == {1, 4, 5}
        assert world.shelf.evictions == 2
        assert world.shelf.bytes <= 4 * MIB
        await world.ask(2)
        assert world.loads == [1, 2, 3, 4, 5, 2]
        assert world.kept() == {2, 4, 5}

    run(test)


def test_one_version_is_kept_however_large() -> None:
    async def test() -> None:
        world = Shelf(budget=1000)
        await world.ask(1, 2)
        assert world.kept() == {2}
        world.shelf.forget([VersionRef("m", 2)])
        assert (world.shelf.bytes, len(world.shelf)) == (0, 0)

    run(test)


def test_versions_of_one_artifact_share_its_room() -> None:
    async def test() -> None:
        alone = Shelf(budget=None)
        await alone.ask(1)
        world = Shelf(budget=None, artifact="the same")
        await world.ask(*range(50))
        assert len(world.shelf) == 50
        assert world.shelf.bytes < 2 * alone.shelf.bytes
        world.shelf.forget(VersionRef("m", number) for number in range(49))
        assert world.shelf.bytes == alone.shelf.bytes

    run(test)


@given(st.lists(st.integers(0, 12), max_size=60), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_the_room_that_is_taken_is_always_known(asked: list[int], mebibytes: int) -> None:
    async def test() -> None:
        world = Shelf(budget=mebibytes * MIB)
        for number in asked:
            await world.ask(number)
            held = [loaded.bytes + loaded.shared_bytes for loaded in world.shelf._ready.values()]
            assert world.shelf.bytes == sum(held)
            assert world.shelf.bytes <= mebibytes * MIB or len(held) == 1
            assert number in world.kept()
        world.threads.shutdown()

    run(test)
