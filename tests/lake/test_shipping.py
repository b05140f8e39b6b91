"""Nothing is lost and nothing doubled on the way from the journals to Delta."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable
from msgspec.structs import replace

from tests.lake.scene import Scene, decision, outcome, row_id
from tsavo.journal import Journal, JournalWriter
from tsavo.vocabulary import Unavailable, encode_record

_PROCESS = Path(__file__).with_name("shipping_process.py")
_HERE = Path(__file__).parents[2]


def test_what_is_shipped_is_counted_and_leaves_the_journal(scene: Scene) -> None:
    scene.write(decision(1, rows=3), decision(2, endpoint="sales"), outcome([row_id(1)], [1]))
    shipped = scene.lake.ship()
    assert shipped.decisions == {"credit-risk": 3, "sales": 1}
    assert shipped.outcomes == {"credit-risk": 1}
    assert shipped.endpoints == {"credit-risk", "sales"}
    assert (shipped.behind, shipped.more, shipped.quarantined) == (0, False, ())
    with Journal(scene.journals / "gateway-0.db") as journal:
        assert journal.read().rows == []
    again = scene.lake.ship()
    assert (again.decisions, again.outcomes, again.behind) == ({}, {}, 0)


def test_limits_cut_the_work_and_say_so(scene: Scene) -> None:
    scene.write(*[decision(number) for number in range(10)])
    first = scene.lake.ship(max_rows=4)
    assert (first.decisions, first.behind, first.more) == ({"credit-risk": 4}, 6, True)
    scene.ship()
    assert scene.rows("SELECT count(*), count(DISTINCT decision_id) FROM decisions") == [(10, 10)]


def test_plain_deltalake_and_pyarrow_read_the_tables(scene: Scene) -> None:
    scene.write(decision(1, row_flags={0: ["unseen:carrier"]}), outcome([row_id(1)], ["paid"]))
    scene.ship()
    folder = scene.root / "decisions" / "credit-risk"
    (row,) = DeltaTable(str(folder)).to_pyarrow_dataset().to_table().to_pylist()
    assert row["decision_id"] == row_id(1)
    assert row["features"] == {"age": 1.0, "income": 1.0}
    assert row["prediction"] == {"label": 1, "probabilities": [0.25, 0.75]}
    assert row["flags"] == ["unseen:carrier"]
    assert row["explanation"] is None
    (file,) = folder.glob("*.parquet")
    assert ds.dataset(file).to_table().column("decision_id").to_pylist() == [row_id(1)]
    (row,) = (
        DeltaTable(str(scene.root / "outcomes" / "credit-risk")).to_pyarrow_dataset().to_table().to_pylist()
    )
    assert (row["decision_id"], row["outcome"], row["kind"], row["number"]) == (
        row_id(1),
        "paid",
        "string",
        None,
    )


def test_records_read_again_after_a_crash_are_not_doubled(scene: Scene) -> None:
    scene.write(decision(1), decision(2, endpoint="sales"))
    journal = scene.journals / "gateway-0.db"
    kept = {file.name: file.read_bytes() for file in scene.journals.iterdir()}
    scene.ship()
    # As after a crash between the last commit and the trim, or of the machine before the trim was on disk.
    for file in scene.journals.iterdir():
        file.unlink()
    for name, content in kept.items():
        (scene.journals / name).write_bytes(content)
    with Journal(journal) as before:
        assert len(before.read().rows) == 2
    assert scene.rows("SELECT count(*) FROM decisions") == [(2,)]
    assert scene.rows('SELECT count(*) FROM "credit-risk"') == [(1,)]
    scene.write(decision(3))
    lake = scene.reopened()
    assert lake.ship().decisions == {"credit-risk": 1}
    assert scene.rows("SELECT count(*), count(DISTINCT decision_id) FROM decisions") == [(3, 3)]


def test_a_shipper_killed_at_random_moments_loses_and_doubles_nothing(scene: Scene) -> None:
    chance = random.Random(11)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_HERE), str(_HERE / "src"), *sys.path])}
    expected: Counter[str] = Counter()
    number = 0
    for _ in range(5):
        for journal in ("gateway-0", "gateway-1"):
            records = []
            for _ in range(400):
                number += 1
                rows = 1 + number % 3
                records.append(decision(number, endpoint=f"e{number % 4}", rows=rows))
                expected.update(row_id(number, row) for row in range(rows))
            scene.write(*records, journal=journal)
        process = subprocess.Popen(
            [sys.executable, str(_PROCESS), str(scene.folder), "60"],
            stdout=subprocess.PIPE,
            env=environment,
            cwd=_HERE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.0, 0.12))
        process.kill()
        process.wait()
        process.stdout.close()
        found = Counter(
            scene.lake.sql("SELECT decision_id FROM decisions", rows=10**6)["decision_id"].to_pylist()
        )
        assert found == expected
    scene.ship()
    shipped: Counter[str] = Counter()
    for endpoint in range(4):
        table = DeltaTable(str(scene.root / "decisions" / f"e{endpoint}")).to_pyarrow_dataset().to_table()
        shipped.update(table.column("decision_id").to_pylist())
    assert shipped == expected


def test_every_look_while_shipping_sees_each_row_exactly_once(scene: Scene) -> None:
    scene.write(decision(0))
    writer = JournalWriter(scene.journals / "gateway-0.db")
    other = scene.reopened()
    written, stop = [1], threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(1, 1500):
                writer.append_blocking(encode_record(decision(number)))
                written[0] += 1
                time.sleep(0.001)
        finally:
            stop.set()

    def ship() -> None:
        try:
            while not stop.is_set():
                other.ship(max_rows=50)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write), threading.Thread(target=ship)]
    for thread in threads:
        thread.start()
    looks = 0
    while not stop.is_set():
        query = ("decisions", '"credit-risk"')[looks % 2]
        least = written[0]
        ((count, different),) = scene.rows(f"SELECT count(*), count(DISTINCT decision_id) FROM {query}")
        assert count == different
        assert least <= count <= written[0] + 1
        looks += 1
    for thread in threads:
        thread.join()
    writer.close()
    assert not failures
    assert looks > 10
    assert scene.rows("SELECT count(*) FROM decisions") == [(1500,)]


def test_records_that_make_no_rows_are_set_aside_and_the_rest_goes_on(scene: Scene) -> None:
    misshapen = replace(decision(4, version=1), version=2)
    unknown = replace(decision(5), version=9)
    scene.write(decision(1), b"garbage", decision(2), misshapen, unknown, decision(3))
    shipped = scene.lake.ship()
    assert shipped.decisions == {"credit-risk": 3}
    assert [line.split(" ")[1] for line in sorted(shipped.quarantined)] == ["2", "4", "5"]
    lines = [
        json.loads(line)
        for file in (scene.root / "quarantine").iterdir()
        for line in file.read_text().splitlines()
    ]
    assert {line["seq"] for line in lines} == {2, 4, 5}
    assert b"garbage" in {base64.b64decode(line["payload"]) for line in lines}
    assert all(line["reason"] for line in lines)
    with Journal(scene.journals / "gateway-0.db") as journal:
        assert journal.read().rows == []


def test_a_registry_that_cannot_be_reached_stops_shipping_without_loss(scene: Scene) -> None:
    def unreachable(model: str, version: int) -> None:
        raise Unavailable("the registry cannot be reached")

    scene.write(decision(1))
    lake = type(scene.lake)(scene.root, scene.journals, unreachable)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        lake.ship()
    assert not (scene.root / "quarantine").exists()
    assert scene.lake.ship().decisions == {"credit-risk": 1}


def test_an_endpoint_that_is_no_name_reaches_no_folder(scene: Scene) -> None:
    scene.write(decision(1, endpoint="../../escape"), decision(2))
    shipped = scene.lake.ship()
    assert len(shipped.quarantined) == 1
    assert shipped.decisions == {"credit-risk": 1}
    assert not list(scene.folder.parent.glob("escape"))
