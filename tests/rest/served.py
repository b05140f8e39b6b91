"""The REST door on a real uvicorn and a real socket, around versions that a test makes up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy.typing as npt
import uvicorn
import uvloop

from tsavo.endpoints import DataPlane, LoadedVersion, VersionShelf
from tsavo.endpoints.retries import Retries
from tsavo.journal import Journal, JournalWriter, KeptReplies, Reservations
from tsavo.rest import ConnectionLimits, Cors, Gateway, patient_protocol
from tsavo.storage import IdSource, SystemClock
from tsavo.vocabulary import (
    NUMPY_DTYPES,
    Batch,
    DecisionRecord,
    Lineage,
    Member,
    Output,
    Route,
    Signature,
    TsavoError,
    Version,
    VersionRef,
    decode_record,
)

# What the product speaks on a connection.
HTTP = patient_protocol(ConnectionLimits())


class Echo:
    """Answers with its own columns: output `i` is column `i`, so that every type goes there and back."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        assert all(output.width is None for output in signature.outputs)

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        columns = batch.columns if batch.matrix is None else tuple(batch.matrix.T)
        return tuple(
            column.astype(NUMPY_DTYPES[output.dtype])
            for column, output in zip(columns, self.signature.outputs, strict=True)
        )


def echo(*inputs: Any) -> Echo:
    """An `Echo` of these fields, with an output named ``same_<column>`` for each."""
    outputs = tuple(Output(f"same_{field.name}", field.dtype) for field in inputs)
    return Echo(Signature(inputs, outputs, "generic"))


class Served:
    """A gateway that answers at `address`, ``host:port``."""

    def __init__(self, address: str, journal: Path) -> None:
        self.address = address
        self.url = f"http://{address}"
        self._journal = journal

    def records(self) -> list[DecisionRecord]:
        """What the journal has by now."""
        with Journal(self._journal) as journal:
            decoded = [decode_record(payload) for _, payload in journal.read().rows]
        return [record for record in decoded if isinstance(record, DecisionRecord)]


def _version(ref: VersionRef, signature: Signature) -> Version:
    lineage = Lineage("me", "f", "skops", "s" * 64, "none")
    made = datetime(2026, 1, 1, tzinfo=UTC)
    return Version(ref.model, ref.number, "d" * 64, "a" * 64, 1, "onnx", signature, lineage, (), made)


@contextmanager
def served(
    folder: Path,
    versions: dict[VersionRef, Echo | TsavoError],
    routes: Iterable[Route],
    *,
    max_body: int = 8 << 20,
    members: Iterable[Member] = (),
    cors: Cors | None = None,
) -> Iterator[Served]:
    """Serve these versions on a free port until the test is over.

    A version that is an error has the signature of the first that is none, and fails.
    """
    some = next(version.signature for version in versions.values() if isinstance(version, Echo))
    threads = ThreadPoolExecutor(4)

    def load(ref: VersionRef) -> LoadedVersion:
        runtime = versions[ref]
        signature = runtime.signature if isinstance(runtime, Echo) else some
        return LoadedVersion(_version(ref, signature), runtime, max_rows=5000, threads=threads)

    path = folder / "gateway-0.db"
    listener = socket.create_server(("127.0.0.1", 0))
    stop: list[uvicorn.Server] = []
    faults: list[BaseException] = []
    up = threading.Event()

    async def serve() -> None:
        journal = JournalWriter(path)
        journal.start(asyncio.get_running_loop())
        clock = SystemClock()
        plane = DataPlane(VersionShelf(load, threads), journal, IdSource(clock).new, clock.nanoseconds)
        plane.apply(list(routes), members)
        retries = Retries(
            KeptReplies(folder), Reservations(folder / "reserved"), clock.nanoseconds, seconds=60
        )
        gateway = Gateway(
            plane, version="1.2.3", max_body=max_body, report=faults.append, retries=retries, cors=cors
        )
        gateway.ready = True
        server = uvicorn.Server(
            uvicorn.Config(gateway, http=HTTP, log_config=None, lifespan="off", ws="none")
        )
        stop.append(server)
        up.set()
        await server.serve([listener])
        await plane.close()
        await asyncio.get_running_loop().run_in_executor(None, journal.close)
        retries.close()

    def run() -> None:
        try:
            uvloop.run(serve())
        except Exception as error:  # told below, where the test sees it
            faults.append(error)
            up.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert up.wait(30)
        assert faults == []
        host, port = listener.getsockname()
        yield Served(f"{host}:{port}", path)
    finally:
        for server in stop:
            server.should_exit = True
        thread.join(30)
        threads.shutdown()
        listener.close()
    assert faults == []
