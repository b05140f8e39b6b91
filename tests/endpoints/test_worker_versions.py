"""Endpoints whose versions run in worker processes: fallbacks, shadows, routes that change, and the neighbours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from tests.endpoints.test_serving import ONE, ROWS, SIGNATURE, THREE, TWO, Times, World
from tests.runtimes.python_worker.models import SUM, bundle, pool, version, when_told
from tsavo.endpoints import InputTensor, LoadedVersion
from tsavo.endpoints.following import RouteFollower
from tsavo.registry import add_model, add_version, migrate, save_route
from tsavo.rest import Gateway
from tsavo.runtimes import PythonRuntime, RuntimeState, WorkerPool
from tsavo.storage import Database
from tsavo.vocabulary import (
    Challenger,
    ConstantFallback,
    Model,
    Overloaded,
    Plug,
    Route,
    Unavailable,
    Version,
    VersionFallback,
    VersionRef,
)

BAD_ROW = [InputTensor("m", (1, 2), [-1.0, 2.0])]
EXIT = when_told("__import__('os')._exit(3)")
SLEEP = when_told("__import__('time').sleep(1000)")


class Code(NamedTuple):
    """A version that is code; `before` runs when it is loaded."""

    body: str
    before: str = ""


class WorkerWorld(World):
    """A data plane some of whose versions are code that runs in worker processes."""

    def __init__(self, folder: Path, versions: dict[VersionRef, Any], workers: WorkerPool) -> None:
        super().__init__(folder, versions)
        self.folder = folder
        self.workers = workers

    def _load(self, ref: VersionRef) -> LoadedVersion:
        code: Any = self.versions[ref]
        if not isinstance(code, Code):
            return super()._load(ref)
        path = bundle(self.folder, code.body, before=code.before, name=f"{ref}")
        runtime = PythonRuntime(version_of(ref), path, self.workers)
        return LoadedVersion(version_of(ref), runtime, max_rows=1000, threads=self.threads)


def version_of(ref: VersionRef) -> Version:
    return msgspec.structs.replace(version(ref.model, SIGNATURE), number=ref.number)


def with_world(
    folder: Path,
    versions: dict[VersionRef, Any],
    test: Callable[[WorkerWorld], Awaitable[None]],
    **limits: Any,
) -> None:
    async def run() -> None:
        workers = pool(folder, **limits)
        world = WorkerWorld(folder, versions, workers)
        try:
            await test(world)
            await world.records()
        finally:
            await workers.close()

    asyncio.run(run())


def test_an_answer_of_a_worker_is_recorded_as_it_was_given(tmp_path: Path) -> None:
    async def test(world: WorkerWorld) -> None:
        world.route()
        answer = await world.plane.infer("e", ROWS)
        assert answer.outputs[0].tolist() == [3.0, 7.0]
        assert (answer.role, answer.flags) == ("champion", ())
        (record,) = await world.records()
        assert record.inputs[0].array().tolist() == [[1.0, 2.0], [3.0, 4.0]]
        assert record.outputs[0].array().tolist() == [3.0, 7.0]

    with_world(tmp_path, {ONE: Code(SUM)}, test)


@pytest.mark.parametrize(("code", "reason"), [(EXIT, "code 3"), (SLEEP, "did not answer within 1 s")])
def test_a_worker_that_breaks_leaves_the_answer_to_the_fallback_in_time(
    tmp_path: Path, code: str, reason: str
) -> None:
    async def test(world: WorkerWorld) -> None:
        world.route()
        await world.plane.infer("e", ROWS)
        started = time.monotonic()
        with pytest.raises(Unavailable, match=reason) as caught:
            await world.plane.infer("e", BAD_ROW)
        assert time.monotonic() - started < 20
        assert caught.value.retry_after is not None
        assert "m@1 cannot answer" in caught.value.reason
        world.route(revision=2, fallback=(ConstantFallback({"value": 0.5}),))
        answer = await world.plane.infer("e", BAD_ROW)
        assert answer.outputs[0].tolist() == [0.5]
        assert answer.flags == ("fallback:error", "constant")
        assert [record.role for record in await world.records()] == ["champion", "fallback"]

    with_world(tmp_path, {ONE: Code(code)}, test, seconds=1.0)


def test_a_fallback_version_and_shadows_may_run_in_workers_as_well(tmp_path: Path) -> None:
    async def test(world: WorkerWorld) -> None:
        world.route(fallback=(VersionFallback(TWO),), challengers=(Challenger(TWO), Challenger(THREE)))
        answer = await world.plane.infer("e", BAD_ROW)
        assert (answer.version, answer.role, answer.outputs[0].tolist()) == (TWO, "fallback", [1.0])
        records = await world.records()
        assert {(record.version, record.role) for record in records} == {(2, "fallback"), (2, "shadow")}
        assert world.plane.shadows_skipped == 1

    with_world(tmp_path, {ONE: Code(EXIT), TWO: Code(SUM), THREE: Code(EXIT)}, test)


def test_too_many_at_once_are_told_so(tmp_path: Path) -> None:
    slow = "__import__('time').sleep(0.2)\n" + SUM

    async def test(world: WorkerWorld) -> None:
        world.route()
        await world.plane.infer("e", ROWS)
        answers = await asyncio.gather(
            *(world.plane.infer("e", ROWS) for _ in range(6)), return_exceptions=True
        )
        assert sum(isinstance(answer, Overloaded) for answer in answers) == 4

    with_world(tmp_path, {ONE: Code(slow)}, test, waiting=2)


def test_versions_that_no_route_names_leave_their_worker(tmp_path: Path) -> None:
    async def test(world: WorkerWorld) -> None:
        world.route()
        await world.plane.infer("e", ROWS)
        loaded = world.shelf.ready(ONE)
        assert loaded is not None
        assert loaded.state.process is not None
        world.plane.apply([Route("e", 2, TWO)])
        world.plane.forget_unused()
        assert loaded.state == RuntimeState("idle")
        assert (await world.plane.infer("e", ROWS)).outputs[0].tolist() == [6.0, 14.0]

    with_world(tmp_path, {ONE: Code(SUM), TWO: Times(2.0)}, test)


def test_a_hanging_worker_keeps_no_other_endpoint_waiting(tmp_path: Path) -> None:
    async def test(world: WorkerWorld) -> None:
        world.route()
        world.plane.apply([Route("quick", 2, TWO)])
        await world.plane.infer("e", ROWS)
        hanging = [asyncio.ensure_future(world.plane.infer("e", BAD_ROW)) for _ in range(20)]
        for _ in range(50):
            await asyncio.wait_for(world.plane.infer("quick", ROWS), 30)
        assert not any(task.done() for task in hanging)
        for answer in await asyncio.gather(*hanging, return_exceptions=True):
            assert isinstance(answer, Unavailable)

    with_world(tmp_path, {ONE: Code(SLEEP), TWO: Times(2.0)}, test, seconds=1.5)


def test_the_rest_door_tells_state_and_reason(tmp_path: Path) -> None:
    async def test(world: WorkerWorld) -> None:
        world.route()
        gateway = Gateway(world.plane, version="1", max_body=10_000, report=print)
        body = {"inputs": [{"name": "m", "shape": [1, 2], "datatype": "FP64", "data": [-1, 2]}]}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(gateway), base_url="http://gateway"
        ) as client:
            told = (await client.get("/v2/models/e")).json()["parameters"]
            assert (told["runtime"], told["state"]["name"]) == ("python", "idle")
            assert (await client.get("/v2/models/e/ready")).status_code == 200
            answer = await client.post("/v2/models/e/infer", json=body)
            assert answer.status_code == 503
            assert "code 3" in answer.json()["reason"]
            assert int(answer.headers["retry-after"]) >= 1
            ready = await client.get("/v2/models/e/ready")
            assert ready.status_code == 503
            assert "code 3" in ready.json()["reason"]
            told = (await client.get("/v2/models/e")).json()["parameters"]["state"]
            assert (told["name"], told["failures"], told["alone"]) == ("backing-off", 1, True)

    with_world(tmp_path, {ONE: Code(EXIT)}, test)


def test_a_new_champion_is_loaded_before_it_takes_over(tmp_path: Path) -> None:
    async def test(world: WorkerWorld) -> None:
        database = Database(f"sqlite:///{tmp_path / 'registry.db'}")
        migrate(database)
        told: list[tuple[int, set[int]]] = [(0, set())]

        def tell(revision: int, waiting: Collection[int]) -> None:
            told.append((revision, set(waiting)))

        follower = RouteFollower(database, world.plane, world.shelf, every=0.02, report=print, tell=tell)
        with database.begin() as connection:
            add_model(connection, Model("m", "me", version_of(ONE).created))
            for number in (1, 2):
                add_version(connection, msgspec.structs.replace(version_of(ONE), digest=str(number) * 64))
            route = save_route(connection, Route("e", 0, ONE, changed=version_of(ONE).created))
        await asyncio.to_thread(follower.read_all)
        follower.start(asyncio.get_running_loop())
        try:
            assert (await world.plane.infer("e", ROWS)).version == ONE
            with database.begin() as connection:
                route = save_route(connection, msgspec.structs.replace(route, champion=TWO))
            seen: list[VersionRef] = []
            async with asyncio.timeout(60):
                while not seen or seen[-1] != TWO:
                    known, waiting = told[-1]
                    seen.append((await world.plane.infer("e", ROWS)).version)
                    # What it says it follows, it answers by.
                    assert seen[-1] == TWO or known < route.revision or route.revision in waiting
                    await asyncio.sleep(0.02)
            # Had a request waited for the loading, it would have been one of the first.
            assert len(seen) > 20, "it took over before it was loaded"
            assert (route.revision, {route.revision}) in told
            assert told[-1] == (route.revision, set())
            with database.begin() as connection:
                save_route(
                    connection, msgspec.structs.replace(route, plug=Plug("me", version_of(ONE).created))
                )
            async with asyncio.timeout(30):
                while world.plane.route("e").plug is None:  # noqa: ASYNC110 -- a thread makes it so
                    await asyncio.sleep(0.02)
        finally:
            await asyncio.to_thread(follower.stop)
            database.close()

    with_world(tmp_path, {ONE: Code(SUM), TWO: Code(SUM, before="import time\ntime.sleep(1.0)")}, test)
