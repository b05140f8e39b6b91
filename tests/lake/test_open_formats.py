"""Tools that know nothing of Tsavo read the lake and count what `Lake.sql` counts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import duckdb
import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.lake.scene import SECOND, START, Scene, decision, outcome, row_id

ENDPOINT = "credit-risk"


@pytest.fixture(params=["as-shipped", "merged", "expired"])
def lake(scene: Scene, request: pytest.FixtureRequest) -> Scene:
    """Rows of three versions and two roles from two gateways, with outcomes, corrected ones too; all are shipped."""
    for turn in range(10):
        records = [
            decision(turn * 20 + number, version=1 + turn % 3, rows=1 + number % 3) for number in range(20)
        ]
        shadows = [decision(turn * 20 + number, version=1, role="shadow") for number in range(0, 20, 5)]
        scene.write(*records, *shadows, journal=f"gateway-{turn % 2}")
        scene.write(outcome([row_id(turn * 20 + number) for number in range(9)], [turn] * 9, at=turn))
        scene.ship()
    scene.write(outcome([row_id(3)], [77], at=1_000))
    scene.ship()
    if request.param != "as-shipped":
        assert scene.lake.maintain() == 2
    if request.param == "expired":
        scene.lake.expire(ENDPOINT, datetime.fromtimestamp(START // SECOND + 55, UTC))
    return scene


def delta(scene: Scene, kind: str) -> DeltaTable:
    return DeltaTable(str(scene.root / kind / ENDPOINT))


def by_role(scene: Scene) -> Counter[str]:
    rows = scene.rows("SELECT role, count(*) FROM decisions GROUP BY role")
    return Counter(dict(rows))


def total(scene: Scene) -> tuple[int, float]:
    return scene.rows(f'SELECT count(*), sum(latency_us) FROM "{ENDPOINT}"')[0]


def test_plain_deltalake(lake: Scene) -> None:
    table = delta(lake, "decisions").to_pyarrow_table()
    assert Counter(table["role"].to_pylist()) == by_role(lake)
    assert (table.num_rows, pc.sum(table["latency_us"]).as_py()) == total(lake)


def test_polars(lake: Scene) -> None:
    frame = pl.scan_delta(str(lake.root / "decisions" / ENDPOINT)).collect()
    assert dict(frame.group_by("role").len().iter_rows()) == by_role(lake)
    assert (frame.height, frame["latency_us"].sum()) == total(lake)
    incomes = frame.select(pl.col("features").struct.field("income")).to_series().sum()
    assert incomes == lake.rows(f'SELECT sum(income) FROM "{ENDPOINT}"')[0][0]
    outcomes = pl.read_delta(str(lake.root / "outcomes" / ENDPOINT))
    assert outcomes.height == lake.rows("SELECT count(*) FROM outcomes")[0][0]


def test_duckdb_over_the_files_that_the_table_names(lake: Scene) -> None:
    files = delta(lake, "decisions").file_uris()
    query = "SELECT role, count(*) FROM read_parquet(?, union_by_name => true) GROUP BY role"
    assert dict(duckdb.execute(query, [files]).fetchall()) == by_role(lake)


def test_duckdb_over_an_arrow_dataset(lake: Scene) -> None:
    decisions = delta(lake, "decisions").to_pyarrow_dataset()
    with duckdb.connect() as connection:
        connection.register("decisions", decisions)
        found = connection.execute("SELECT count(*), sum(latency_us) FROM decisions").fetchone()
    assert found == total(lake)


def test_pyarrow_alone_over_the_files(lake: Scene) -> None:
    files = [uri.removeprefix("file://") for uri in delta(lake, "decisions").file_uris()]
    assert sum(pq.ParquetFile(file).metadata.num_rows for file in files) == total(lake)[0]


def test_the_last_outcome_of_each_decision_is_found_by_hand(lake: Scene) -> None:
    latest = (
        pl.read_delta(str(lake.root / "outcomes" / ENDPOINT))
        .sort("recorded", "journal", "seq", "row")
        .group_by("decision_id")
        .last()
    )
    expected = dict(lake.rows(f'SELECT decision_id, outcome FROM "{ENDPOINT}" WHERE outcome IS NOT NULL'))
    found = dict(latest.select("decision_id", "number").iter_rows())
    assert {name: found[name] for name in expected} == expected
