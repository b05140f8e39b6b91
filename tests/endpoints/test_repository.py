from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from tests.endpoints.test_serving import ONE, ROWS, TWO, Times, World
from tsavo.endpoints import DataPlane, LoadedVersion, VersionShelf
from tsavo.endpoints.repository import IndexEntry, repository_index
from tsavo.vocabulary import Challenger, Damaged, Plug, Route, VersionFallback, VersionRef

LOADS = "the next request loads it"


class NoJournal:
    def append(self, payload: bytes, *more: bytes, reply: object = None) -> None:
        raise AssertionError


def never(ref: VersionRef) -> LoadedVersion:
    raise AssertionError(ref)


def test_ten_thousand_endpoints_are_listed_without_loading_one_or_keeping_others_waiting() -> None:
    async def test() -> None:
        with ThreadPoolExecutor(1) as threads:
            plane = DataPlane(VersionShelf(never, threads), NoJournal(), lambda _: "", lambda: 0)
            routes = [
                Route(
                    f"e{at:05}", at, VersionRef(f"m{at}", 2), (), (VersionFallback(VersionRef(f"m{at}", 1)),)
                )
                for at in reversed(range(10_000))
            ]
            plane.apply(routes)
            turns = 0
            listing = asyncio.ensure_future(repository_index(plane))
            while not listing.done():
                await asyncio.sleep(0)
                turns += 1
            listed = await listing
        assert turns >= 50
        assert len(listed) == 20_000
        assert listed[:2] == [
            IndexEntry("e00000", "2", "READY", LOADS),
            IndexEntry("e00000", "1", "READY", LOADS),
        ]
        assert [entry.name for entry in listed] == sorted(entry.name for entry in listed)

    asyncio.run(test())


def test_states_are_those_of_this_process(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Damaged("its file is gone")})
        world.route(challengers=(Challenger(TWO),))
        loading = asyncio.ensure_future(world.plane.champion("e"))
        await asyncio.sleep(0)
        assert (await repository_index(world.plane))[0] == IndexEntry("e", "1", "LOADING")
        await loading
        await world.plane.version("e", 2)
        listed = await repository_index(world.plane)
        assert listed == [
            IndexEntry("e", "1", "READY"),
            IndexEntry("e", "2", "UNAVAILABLE", "its file is gone"),
        ]
        assert await repository_index(world.plane, ready=True) == listed[:1]
        await world.plane.infer("e", ROWS)
        await world.records()

    asyncio.run(test())


def test_a_pulled_plug_is_told_with_its_reason(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        plug = Plug("me", datetime(2026, 1, 1, tzinfo=UTC), "wrong since noon")
        world.route(plug=plug, fallback=(VersionFallback(TWO),))
        listed = await repository_index(world.plane)
        assert listed == [
            IndexEntry("e", "1", "UNAVAILABLE", "the plug is pulled: wrong since noon"),
            IndexEntry("e", "2", "READY", LOADS),
        ]
        assert world.loads == []
        await world.records()

    asyncio.run(test())


def test_a_version_of_another_model_with_the_same_number_is_listed_once(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0)})
        world.route(
            fallback=(VersionFallback(VersionRef("another", 1)), VersionFallback(VersionRef("another", 5)))
        )
        assert [entry.version for entry in await repository_index(world.plane)] == ["1", "5"]
        await world.records()

    asyncio.run(test())
