"""Models as people bring them, the bad ones among them: Python code in a bundle, and versions made of it."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
import time
import venv
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tsavo.runtimes import PoolLimits, ProcessLimits, PythonRuntime, WorkerPool
from tsavo.vocabulary import (
    Batch,
    Environment,
    Field,
    Hints,
    Lineage,
    Output,
    Signature,
    SourceFormat,
    Unavailable,
    Version,
)

REGRESSION = Signature(
    (Field("x", "float64"), Field("y", "float64")), (Output("value", "float64"),), "regression"
)
SUM = "return {'value': columns['x'] + columns['y']}"
"""A model that behaves."""


def when_told(deed: str) -> str:
    """A model that does `deed` first when the first number is below zero."""
    return f"if columns['x'][0] < 0:\n    {deed}\n{SUM}"


def bundle(folder: Path, body: str, *, before: str = "", name: str = "model") -> Path:
    """A Python bundle whose ``predict(columns)`` has this `body`; `before` runs when it is loaded."""
    code = f"{before}\n\ndef predict(columns: dict):\n{textwrap.indent(body, '    ')}\n"
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tsavo-python.json", json.dumps({"entry": "scoring:predict"}))
        archive.writestr("scoring.py", code)
    return path


def version(
    model: str,
    signature: Signature = REGRESSION,
    source_format: SourceFormat = "python",
    environment: Environment | None = None,
) -> Version:
    """The first version of `model`, as a registration would have left it."""
    return Version(
        model=model,
        number=1,
        digest="d" * 64,
        artifact="a" * 64,
        artifact_bytes=1,
        runtime="python",
        signature=signature,
        lineage=Lineage("me", "model", source_format, "s" * 64, "none", trusted_by="me"),
        checks=(),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        environment=environment,
        hints=Hints(),
    )


def pool(
    folder: Path, *, memory_mib: int = 1024, python: Path = Path(sys.executable), **limits: Any
) -> WorkerPool:
    """A pool of workers in this Python's own environment, or another; impatient, so that tests end soon."""
    given = {"seconds": 5.0, "process": ProcessLimits(memory_bytes=memory_mib << 20), **limits}
    return WorkerPool(folder / "workers", lambda _own: python, PoolLimits(**given))


class Zoo:
    """Runtimes in one pool, made from the code of their models."""

    def __init__(self, folder: Path, workers: WorkerPool) -> None:
        self.folder = folder
        self.workers = workers

    def model(self, name: str, body: str = SUM, *, before: str = "", **options: Any) -> PythonRuntime:
        path = bundle(self.folder, body, before=before, name=name)
        return PythonRuntime(version(name, **options), path, self.workers)


def rows(*pairs: Sequence[float]) -> Batch:
    """A batch of x and y."""
    matrix = np.array(pairs or [(1.0, 2.0)])
    return Batch(len(matrix), matrix)


FINE, BAD = rows((1.0, 2.0)), rows((-1.0, 2.0))


def bare_environment(folder: Path) -> Path:
    """The Python of an environment that has numpy and msgspec, and nothing else."""
    made = folder / "bare"
    venv.create(made, with_pip=False, symlinks=True)
    (there,) = made.glob("lib/python*/site-packages")
    ours = Path(np.__file__).parent.parent
    for name in ("numpy", "numpy.libs", "msgspec"):
        if (ours / name).is_dir():
            (there / name).symlink_to(ours / name)
    return made / "bin" / "python"


def has_process(pid: int | None) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def group_of(leader: int) -> list[int]:
    """The processes in the group that `leader` leads."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return found


SLEEP = when_told("__import__('time').sleep(1000)")
EXIT = when_told("__import__('os')._exit(3)")
SEGFAULT = when_told("__import__('ctypes').string_at(0)")


def with_zoo(folder: Path, test: Callable[[Zoo], Awaitable[None]], **limits: Any) -> None:
    """Run a test with a pool, and see that nothing is left of it."""

    async def run() -> None:
        workers = pool(folder, **limits)
        try:
            await test(Zoo(folder, workers))
        finally:
            await workers.close()
        assert list((folder / "workers").iterdir()) == []

    asyncio.run(run())


async def value(model: PythonRuntime, batch: Batch = FINE) -> float:
    return float((await model.answer(batch))[0][0])


async def until_well(model: PythonRuntime, seconds: float = 60) -> None:
    """Ask until it answers again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            assert await value(model) == 3.0
        except Unavailable as error:
            assert time.monotonic() < deadline, error
            await asyncio.sleep(0.05)
        else:
            return


async def until(fact: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not fact():  # noqa: ASYNC110 -- another process makes it so
            await asyncio.sleep(0.02)
