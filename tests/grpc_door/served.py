"""The gRPC door on a real socket, beside the REST door on the same data plane, around versions that a test makes up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import AF_INET, SO_REUSEPORT, SOCK_STREAM, SOL_SOCKET, socket
from typing import Any

import grpc  # type: ignore[import-untyped]
import httpx
import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton
import uvloop
from tritonclient.utils import np_to_triton_dtype

from tsavo.endpoints import DataPlane, LoadedVersion, VersionShelf
from tsavo.endpoints.retries import Retries
from tsavo.grpc import Door
from tsavo.journal import Journal, JournalWriter, KeptReplies, Reservations
from tsavo.rest import Admission, Gateway
from tsavo.storage import IdSource, SystemClock
from tsavo.vocabulary import (
    NUMPY_DTYPES,
    Batch,
    DecisionRecord,
    Lineage,
    Output,
    Route,
    Signature,
    TsavoError,
    Version,
    VersionRef,
    decode_record,
)


class Echo:
    """Answers with its own columns: output `i` is column `i`, so that every type goes there and back."""

    def __init__(self, *inputs: Any, behave: Callable[[], None] = lambda: None) -> None:
        outputs = tuple(Output(f"same_{field.name}", field.dtype) for field in inputs)
        self.signature = Signature(inputs, outputs, "generic")
        self.behave = behave

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        self.behave()
        columns = batch.columns if batch.matrix is None else tuple(batch.matrix.T)
        return tuple(
            column.astype(NUMPY_DTYPES[output.dtype])
            for column, output in zip(columns, self.signature.outputs, strict=True)
        )


class Served:
    """A door that answers at `address`, ``host:port``; `faults` is what it reported."""

    def __init__(self, address: str, journal: Path, gateway: Gateway, admission: Admission) -> None:
        self.address = address
        self.admission = admission
        self.door: Any = None
        self.faults: list[BaseException] = []
        self._journal = journal
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()

    def do(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Run something in the door's event loop."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    def rest(self, path: str, body: Any) -> Any:
        """What the REST door answers."""

        async def ask() -> Any:
            transport = httpx.ASGITransport(self._gateway)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                return (await client.post(path, json=body)).json()

        return self.do(ask())

    def records(self) -> list[DecisionRecord]:
        """What the journal has by now."""
        with Journal(self._journal) as journal:
            decoded = [decode_record(payload) for _, payload in journal.read().rows]
        return [record for record in decoded if isinstance(record, DecisionRecord)]

    def call(self, method: str, body: bytes, **options: Any) -> bytes:
        """Call a method with bytes as they are."""
        with grpc.insecure_channel(self.address) as channel:
            answer: bytes = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(
                body, timeout=30, **options
            )
            return answer


def free_address() -> str:
    with socket(AF_INET, SOCK_STREAM) as probe:
        probe.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def served(
    folder: Path,
    versions: dict[VersionRef, Echo | TsavoError],
    routes: Iterable[Route],
    *,
    max_message: int = 8 << 20,
    max_calls: int = 64,
    held_bytes: int = 64 << 20,
    **patience: Any,
) -> Iterator[Served]:
    """Serve these versions until the test is over; one that is an error has the first's signature, and fails."""
    some = next(version.signature for version in versions.values() if isinstance(version, Echo))
    threads = ThreadPoolExecutor(4)

    def load(ref: VersionRef) -> LoadedVersion:
        runtime = versions[ref]
        signature = runtime.signature if isinstance(runtime, Echo) else some
        return LoadedVersion(_version(ref, signature), runtime, max_rows=5000, threads=threads)

    address = free_address()
    up: list[Served] = []
    started = threading.Event()
    ended = threading.Event()

    async def serve() -> None:
        journal = JournalWriter(folder / "gateway-0.db")
        journal.start(asyncio.get_running_loop())
        clock = SystemClock()
        plane = DataPlane(VersionShelf(load, threads), journal, IdSource(clock).new, clock.nanoseconds)
        plane.apply(list(routes))
        admission = Admission(requests=max_calls, body_bytes=held_bytes)
        gateway = Gateway(plane, version="1.2.3", max_body=max_message, report=lambda _: None)
        retries = Retries(
            KeptReplies(folder), Reservations(folder / "reserved"), clock.nanoseconds, seconds=60
        )
        here = Served(address, journal.path, gateway, admission)
        door = Door(
            plane,
            version="1.2.3",
            max_message=max_message,
            max_calls=max_calls,
            admission=admission,
            report=here.faults.append,
            **patience,
            retries=retries,
        )
        here.door = door
        await door.open(address)
        up.append(here)
        started.set()
        await asyncio.get_running_loop().run_in_executor(None, ended.wait)
        await door.close(5)
        await plane.close()
        await asyncio.get_running_loop().run_in_executor(None, journal.close)
        retries.close()

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    try:
        assert started.wait(30)
        yield up[0]
    finally:
        ended.set()
        thread.join(30)
        threads.shutdown()


def _version(ref: VersionRef, signature: Signature) -> Version:
    lineage = Lineage("me", "f", "skops", "s" * 64, "none")
    made = datetime(2026, 1, 1, tzinfo=UTC)
    return Version(ref.model, ref.number, "d" * 64, "a" * 64, 1, "onnx", signature, lineage, (), made)


def tensor(name: str, values: Any, datatype: str | None = None) -> Any:
    """A tensor as tritonclient makes it, which always sends raw contents."""
    array = np.asarray(values)
    given = triton.InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
    return given.set_data_from_numpy(array)


def texts(values: Sequence[Any] | npt.NDArray[Any]) -> list[str]:
    """Strings, which this client gives as bytes."""
    return [value.decode() for value in values]
