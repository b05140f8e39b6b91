"""A gateway whose one endpoint ``e`` takes a column of every kind, for tests of protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import numpy.typing as npt

from tests.endpoints.test_serving import ONE, World
from tests.examples import example_version
from tsavo.endpoints import Answer, LoadedVersion
from tsavo.rest import Gateway
from tsavo.runtimes import Runtime
from tsavo.vocabulary import Batch, DecisionRecord, Field, Output, Signature, TsavoError, VersionRef

MIXED = Signature(
    (
        Field("age", "int64"),
        Field("income", "float64", nullable=True),
        Field("member", "bool"),
        Field("city", "string", nullable=True, categories=("voi", "ham")),
        Field("size", "float32", nullable=True),
    ),
    (Output("label", "string"), Output("probabilities", "float32", 2)),
    "binary",
    ("no", "yes"),
)
NAMES = [field.name for field in MIXED.inputs]
# The second city is one that the reference never had.
ROWS: list[list[Any]] = [
    [31, 1000.5, True, "voi", 0.1],
    [58, None, False, 'Genève, "old"\n100%', None],
    [-4, 0.25, True, None, -2.5],
]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
REQUEST = "0197f0a0-0000-7000-8000-000000000000"


class Weighs:
    """Answers by all columns, so that a value at a wrong place changes the answer."""

    signature = MIXED

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        age, income, member, city, size = batch.columns
        length = np.array([0 if text is None else len(text) for text in city])
        weight = (
            age / 100 + np.nan_to_num(income) / 3000 + member / 7 + length / 31 + np.nan_to_num(size) / 11
        )
        yes = (1 / (1 + np.exp(-weight))).astype(np.float32)
        labels = np.empty(batch.rows, dtype=object)
        labels[:] = ["yes" if high else "no" for high in yes > 0.55]
        return labels, np.stack([1 - yes, yes], axis=1)


class ScoringWorld(World):
    """A data plane whose versions bring signatures of their own."""

    def _load(self, ref: VersionRef) -> LoadedVersion:
        runtime: Any = self.versions[ref]
        signature = runtime.signature if isinstance(runtime, Runtime) else MIXED
        version = msgspec.structs.replace(example_version(ref.model, signature=signature), number=ref.number)
        return LoadedVersion(version, runtime, max_rows=1000, threads=self.threads)


class Scene:
    """A world, a client of its gateway, and the faults of our own that were reported."""

    def __init__(self, world: ScoringWorld, client: httpx.AsyncClient, gateway: Gateway) -> None:
        self.world = world
        self.client = client
        self.gateway = gateway

    async def post(self, path: str, *, status: int = 200, **parts: Any) -> httpx.Response:
        answer = await self.client.post(path, **parts)
        assert answer.status_code == status, answer.text
        return answer

    async def get(self, path: str, *, status: int = 200) -> httpx.Response:
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer


def with_scene(
    folder: Path,
    test: Callable[[Scene], Coroutine[Any, Any, None]],
    model: Any = None,
    **route: Any,
) -> list[DecisionRecord]:
    """Run the test; what the journal has then. A fault of our own fails it."""

    async def run() -> list[DecisionRecord]:
        versions: dict[VersionRef, Any] = {ONE: model or Weighs()}
        world = ScoringWorld(folder, versions)
        world.route(**route)
        faults: list[BaseException] = []
        gateway = Gateway(world.plane, version="1.2.3", max_body=1 << 23, report=faults.append)
        gateway.ready = True
        transport = httpx.ASGITransport(gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            await test(Scene(world, client, gateway))
        assert faults == []
        return await world.records()

    return asyncio.run(run())


def an_answer(signature: Signature, *outputs: npt.NDArray[Any], **parts: Any) -> Answer:
    """An answer of version credit@3 with these outputs."""
    answer = Answer(
        REQUEST, "e", VersionRef("credit", 3), "champion", len(outputs[0]), signature, outputs, (), {}
    )
    return msgspec.structs.replace(answer, **parts)


def texts(*values: str | None) -> npt.NDArray[Any]:
    """An array of text as runtimes give it."""
    array: npt.NDArray[Any] = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def refusal(error: type[TsavoError], do: Callable[[], Any]) -> TsavoError:
    """The refusal of this kind that `do` ends with."""
    try:
        do()
    except error as refused:
        return refused
    raise AssertionError(f"no {error.__name__}")
