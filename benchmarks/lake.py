"""The lake at ten million decisions: how long a question takes, beside plain Parquet files and SQLite.

    python benchmarks/lake.py [--rows 10000000] [--endpoints 1000] [--shipped 200000] [--folder DIR] [--repeats 9]

One endpoint has nine rows in ten, spread over two years; the others share the rest. The rows, drawn from a seed, are
written as the keeper writes them, a commit each for a stretch of time, and merged as it merges them. How fast the
keeper itself ships is measured on `--shipped` records in a journal. The peers hold the same rows: DuckDB over one
folder of Parquet files in the order in which rows came, endpoints mixed, and SQLite (seven columns of them) with
indexes on the id, on endpoint and time, and on the customer. Asked is what people ask: one decision by its id,
with the endpoint and without; the last hour of an endpoint; all decisions about one customer; how many there are.
Bars: a decision by its id and the last hour of an endpoint in under 1 s.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tsavo.journal import JournalWriter
from tsavo.lake import Lake
from tsavo.lake.folders import Folders
from tsavo.lake.rows import Decided, decision_rows
from tsavo.storage import name_mark
from tsavo.vocabulary import DecisionRecord, Field, Output, Signature, Tensor, encode_record

LARGE: Final = "large"
END: Final = datetime(2026, 6, 1, tzinfo=UTC)
LARGE_SPAN: Final = timedelta(days=730)
SMALL_SPAN: Final = timedelta(hours=20)
CUSTOMERS: Final = 100_000
COMMIT_ROWS: Final = 200_000
SMALL_COMMITS: Final = 8
SIGNATURE: Final = Signature(
    (
        Field("customer", "string"),
        Field("product", "string"),
        Field("age", "int64"),
        *(Field(name, "float64", True) for name in ("income", "debt", "amount", "balance", "score")),
    ),
    (Output("label", "int64"), Output("probabilities", "float32", 2)),
    "binary",
    (0, 1),
)


def signature_of(_model: str, _version: int) -> Signature:
    """Every version has the same."""
    return SIGNATURE


def record(number: int, endpoint: str, moment: datetime, chance: random.Random) -> DecisionRecord:
    """One request of one row, as a gateway journals it."""
    milliseconds = int(moment.timestamp() * 1000)
    return DecisionRecord(
        request=f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{number & 0xFFF:03x}-"
        f"8{number >> 12 & 0xFFF:03x}-{chance.getrandbits(32):08x}{name_mark(endpoint)}",
        time=milliseconds * 1_000_000,
        endpoint=endpoint,
        model="m",
        version=1,
        role="champion",
        rows=1,
        latency_us=chance.randrange(100, 900),
        inputs=(
            Tensor.of(np.array([f"c{chance.randrange(CUSTOMERS):07d}"], dtype=object)),
            Tensor.of(np.array([f"p{chance.randrange(40)}"], dtype=object)),
            Tensor.of(np.array([chance.randrange(18, 90)])),
            *(Tensor.of(np.array([chance.random()])) for _ in range(5)),
        ),
        outputs=(
            Tensor.of(np.array([1])),
            Tensor.of(np.array([[0.25, 0.75]], dtype=np.float32)),
        ),
        digest=chance.randbytes(32),
        queue_us=20,
        decode_us=30,
        predict_us=200,
        runtime="0123456789abcdef",
    )


def rows(endpoint: str, first: int, times: np.ndarray[Any, Any], seed: int) -> pa.Table:
    """Rows as the keeper lays them out, drawn in bulk: the columns that differ from row to row are put in."""
    chance = np.random.default_rng(seed)
    count = len(times)
    one = decision_rows([Decided("gateway-0", 1, record(0, endpoint, END, random.Random(seed)))], SIGNATURE)
    table = one.take(pa.array(np.zeros(count, dtype=np.int64)))
    mark, noise = name_mark(endpoint), chance.integers(0, 1 << 32, count)
    digests = chance.bytes(32 * count).hex()
    columns = {
        "decision_id": pa.array(
            [
                f"{moment >> 16:08x}-{moment & 0xFFFF:04x}-7{number & 0xFFF:03x}-8{number >> 12 & 0xFFF:03x}-"
                f"{random_bits:08x}{mark}:0"
                for number, moment, random_bits in zip(
                    range(count), times.tolist(), noise.tolist(), strict=True
                )
            ]
        ),
        "time": pa.array(times * 1000).cast(pa.timestamp("us", tz="UTC")),
        "latency_us": pa.array(chance.integers(100, 900, count)),
        "request_digest": pa.array([digests[at : at + 64] for at in range(0, 64 * count, 64)]),
        "seq": pa.array(np.arange(first + 1, first + count + 1)),
    }
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    drawn: dict[str, pa.Array] = {
        "customer": _named("c{:07d}", CUSTOMERS).take(pa.array(chance.integers(0, CUSTOMERS, count))),
        "product": _named("p{}", 40).take(pa.array(chance.integers(0, 40, count))),
        "age": pa.array(chance.integers(18, 90, count)),
    }
    fields = [field.name for field in table.schema.field("features").type]
    features = [
        drawn[name] if name in drawn else pa.array(np.round(chance.lognormal(3, 1, count), 2))
        for name in fields
    ]
    place = table.schema.get_field_index("features")
    return table.set_column(place, "features", pa.StructArray.from_arrays(features, names=fields))


@lru_cache
def _named(pattern: str, count: int) -> pa.Array:
    return pa.array([pattern.format(number) for number in range(count)])


def stretches(total: int, endpoints: int) -> Iterator[tuple[str, pa.Table]]:
    """All rows, a commit at a time: the large endpoint's over two years, the others' over less than a day."""
    large = total * 9 // 10
    small = [f"e{number:05d}" for number in range(endpoints - 1)]
    yield from _commits(LARGE, large, LARGE_SPAN, -(-large // COMMIT_ROWS), 1)
    for number, endpoint in enumerate(small):
        yield from _commits(
            endpoint, (total - large) // len(small), SMALL_SPAN, SMALL_COMMITS, 1_000_003 * (number + 1)
        )


def _commits(
    endpoint: str, count: int, span: timedelta, commits: int, seed: int
) -> Iterator[tuple[str, pa.Table]]:
    last = int(END.timestamp() * 1000)
    times = np.linspace(last - span / timedelta(milliseconds=1), last - 1, count).astype(np.int64)
    first = 0
    for part, some in enumerate(np.array_split(times, commits)):
        if len(some):
            yield endpoint, rows(endpoint, first, some, seed + part)
            first += len(some)


class Asked(NamedTuple):
    """What the questions are about, drawn from the rows."""

    ids: list[tuple[str, str]]
    customers: list[str]
    small: list[str]


def lay(folder: Path, total: int, endpoints: int) -> Asked:
    """Write the lake, and the rows for the peers beside it in the order in which they would have come."""
    folders = Folders(folder / "lake")
    plain = folder / "plain"
    plain.mkdir()
    chance = random.Random(5)
    ids: list[tuple[str, str]] = []
    names: set[str] = set()
    pending: list[pa.Table] = []
    for number, (endpoint, table) in enumerate(stretches(total, endpoints)):
        folders.decisions(endpoint).append(table, {"gateway-0": table["seq"][-1].as_py()})
        ids.append((table["decision_id"][chance.randrange(len(table))].as_py(), endpoint))
        names.add(endpoint)
        pending.append(table)
        if sum(len(one) for one in pending) >= COMMIT_ROWS:
            write_plain(plain / f"{number:06d}.parquet", pending)
            pending = []
    if pending:
        write_plain(plain / "rest.parquet", pending)
    customers = [f"c{chance.randrange(CUSTOMERS):07d}" for _ in range(100)]
    chance.shuffle(ids)
    return Asked(ids, customers, sorted(names - {LARGE}))


def write_plain(path: Path, tables: list[pa.Table]) -> None:
    """Rows of several endpoints, shuffled together as a single log would have them."""
    table = pa.concat_tables(tables)
    order = np.random.default_rng(len(table)).permutation(len(table))
    pq.write_table(table.take(pa.array(order)), path, compression="zstd")


def fill_sqlite(folder: Path) -> sqlite3.Connection:
    """The same rows in SQLite, with an index for each question."""
    connection = sqlite3.connect(folder / "rows.db")
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute(
        "CREATE TABLE decisions (decision_id TEXT, time INTEGER, endpoint TEXT, latency_us INTEGER,"
        " request_digest TEXT, customer TEXT, amount REAL)"
    )
    names = ["decision_id", "time", "endpoint", "latency_us", "request_digest", "customer", "amount"]
    for path in sorted((folder / "plain").glob("*.parquet")):
        table = pq.read_table(path)
        features = table["features"].combine_chunks()
        for name in ("customer", "amount"):
            table = table.append_column(name, features.field(name))
        columns = [pc.cast(table[name], pa.int64()) if name == "time" else table[name] for name in names]
        values = zip(*(column.to_pylist() for column in columns), strict=True)
        connection.executemany("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    connection.execute("CREATE INDEX by_id ON decisions (decision_id)")
    connection.execute("CREATE INDEX by_time ON decisions (endpoint, time)")
    connection.execute("CREATE INDEX by_customer ON decisions (customer)")
    connection.commit()
    return connection


async def journalled(folder: Path, payloads: list[bytes]) -> None:
    """Write records as a gateway does."""
    writer = JournalWriter(folder / "gateway-0.db")
    loop = asyncio.get_running_loop()
    writer.start(loop)
    for start in range(0, len(payloads), 1000):
        await asyncio.gather(*(writer.append(payload) for payload in payloads[start : start + 1000]))
    await loop.run_in_executor(None, writer.close)


def shipping_rate(folder: Path, count: int) -> tuple[float, float]:
    """Rows a second, and microseconds of processor a row, of the keeper's own path: one endpoint, one journal."""
    chance = random.Random(3)
    journal = folder / "journal"
    journal.mkdir()
    asyncio.run(journalled(journal, [encode_record(record(n, "shipped", END, chance)) for n in range(count)]))
    lake = Lake(folder / "shipped", journal, signature_of)
    started, used = time.perf_counter(), time.process_time()
    while lake.ship().more:
        continue
    return count / (time.perf_counter() - started), (time.process_time() - used) / count * 1e6


def ship_cost(folder: Path, endpoints: int = 200) -> float:
    """Milliseconds of processor that an endpoint with a few rows costs in a round of shipping."""
    chance = random.Random(4)
    journal = folder / "quiet"
    journal.mkdir()
    lake = Lake(folder / "quiet-lake", journal, signature_of)
    used = 0.0
    for cycle in range(6):
        payloads = [
            encode_record(record(cycle * 5 + n, f"q{number}", END, chance))
            for number in range(endpoints)
            for n in range(5)
        ]
        asyncio.run(journalled(journal, payloads))
        started = time.process_time()
        lake.ship()
        used = used + time.process_time() - started if cycle else 0.0
    return used / 5 / endpoints * 1000


def measured(ask: Callable[[int], Any], repeats: int) -> tuple[float, float, float]:
    """Milliseconds: the first time, the median after it, the worst after it."""
    taken = []
    for turn in range(repeats + 1):
        started = time.perf_counter()
        ask(turn)
        taken.append((time.perf_counter() - started) * 1000)
    return taken[0], statistics.median(taken[1:]), max(taken[1:])


def questions(
    folder: Path, asked: Asked, database: sqlite3.Connection
) -> dict[str, dict[str, Callable[[int], Any]]]:
    """Question -> who answers -> how."""
    lake = Lake(folder / "lake", folder / "no-journal", signature_of)
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    files = f"read_parquet('{folder / 'plain'}/*.parquet')"
    hour = END - timedelta(hours=1)
    micros = int(hour.timestamp() * 1e6)

    def parquet(query: str, *values: Any) -> Any:
        return duck.sql(query, params=values).to_arrow_table().to_pylist()

    def sqlite(query: str, *values: Any) -> Any:
        return database.execute(query, values).fetchall()

    def hour_of(name: Callable[[int], str]) -> dict[str, Callable[[int], Any]]:
        summary = "count(*), avg(latency_us)"
        return {
            "Tsavo": lambda turn: lake.sql(
                f"SELECT {summary} FROM \"{name(turn)}\" WHERE time >= '{hour.isoformat()}'"
            ).to_pylist(),
            "Parquet, DuckDB": lambda turn: parquet(
                f"SELECT {summary} FROM {files} WHERE endpoint = ? AND time >= ?",
                name(turn),
                hour,
            ),
            "SQLite": lambda turn: sqlite(
                f"SELECT {summary} FROM decisions WHERE endpoint = ? AND time >= ?",
                name(turn),
                micros,
            ),
        }

    by_id = {
        "Parquet, DuckDB": lambda turn: parquet(
            f"SELECT * FROM {files} WHERE decision_id = ?", asked.ids[turn][0]
        ),
        "SQLite": lambda turn: sqlite("SELECT * FROM decisions WHERE decision_id = ?", asked.ids[turn][0]),
    }
    return {
        "a decision by its id": {"Tsavo": lambda turn: lake.decision(asked.ids[turn][0]), **by_id},
        "a decision by its id, endpoint given": {
            "Tsavo": lambda turn: lake.decision(asked.ids[turn][0], endpoint=asked.ids[turn][1]),
        },
        "the last hour of a small endpoint": hour_of(lambda turn: asked.small[turn]),
        "the last hour of the large endpoint": hour_of(lambda _: LARGE),
        "all decisions about a customer": {
            "Tsavo": lambda turn: lake.sql(
                f"SELECT decision_id, time, amount FROM \"{LARGE}\" WHERE customer = '{asked.customers[turn]}'"
            ).to_pylist(),
            "Parquet, DuckDB": lambda turn: parquet(
                f"SELECT decision_id, time, features.amount FROM {files} WHERE endpoint = ? AND features.customer = ?",
                LARGE,
                asked.customers[turn],
            ),
            "SQLite": lambda turn: sqlite(
                "SELECT decision_id, time, amount FROM decisions WHERE customer = ? AND endpoint = ?",
                asked.customers[turn],
                LARGE,
            ),
        },
        "how many decisions there are": {
            "Tsavo": lambda _: lake.sql("SELECT count(*) FROM decisions").to_pylist(),
            "Parquet, DuckDB": lambda _: parquet(f"SELECT count(*) FROM {files}"),
            "SQLite": lambda _: sqlite("SELECT count(*) FROM decisions"),
        },
    }


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(folder: Path, options: argparse.Namespace) -> None:
    """Lay, merge, ask, print."""
    started = time.process_time()
    asked = lay(folder, options.rows, options.endpoints)
    laid = time.process_time() - started
    started = time.process_time()
    keeper = Lake(folder / "lake", folder / "no-journal", signature_of)
    merged = keeper.maintain()
    tidied = time.process_time() - started
    live = sum(
        file.bytes
        for name in Folders(folder / "lake").endpoints()
        if (snapshot := Folders(folder / "lake").decisions(name).snapshot()) is not None
        for file in snapshot.files
    )
    database = fill_sqlite(folder)
    rate, micros = shipping_rate(folder, options.shipped)
    print(f"{platform.machine()}, Python {platform.python_version()}")
    print(f"{options.rows:,} rows, {options.endpoints:,} endpoints")
    print(f"rows laid: {laid:.0f} s of processor; merged {merged} tables: {tidied:.0f} s")
    print(f"shipping from a journal: {rate:,.0f} rows/s, {micros:.1f} us of processor a row")
    print(f"one quiet endpoint in a round of shipping: {ship_cost(folder):.1f} ms of processor")
    print(
        f"bytes a row: Tsavo {live / options.rows:.0f}, Parquet {folder_bytes(folder / 'plain') / options.rows:.0f},"
        f" SQLite {(folder / 'rows.db').stat().st_size / options.rows:.0f} (7 columns)"
    )
    print(f"\n{'question':<38}{'who':<18}{'first ms':>10}{'median ms':>11}{'worst ms':>10}")
    for question, answers in questions(folder, asked, database).items():
        for who, ask in answers.items():
            first, median, worst = measured(ask, options.repeats)
            print(f"{question:<38}{who:<18}{first:>10.1f}{median:>11.1f}{worst:>10.1f}", flush=True)


def main() -> None:
    """Entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--endpoints", type=int, default=1_000)
    parser.add_argument("--shipped", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tsavo-lake-", dir=options.folder))
    try:
        run(folder, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
