"""`Client.sql` and its kin."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.client.conftest import Scene
from tsavo.vocabulary import Invalid, NotFound

QUERY = "select decision_id, age, city from stranger order by 1"


def test_sql_is_an_arrow_table_a_pandas_or_a_polars_one(scene: Scene) -> None:
    scene.endpoint.score(scene.rows.head(20))
    table = scene.client.sql(QUERY)
    frame = scene.client.sql(QUERY, as_="pandas")
    polars = scene.client.sql(QUERY, as_="polars")
    assert isinstance(table, pa.Table)
    assert isinstance(frame, pd.DataFrame)
    assert isinstance(polars, pl.DataFrame)
    assert table.to_pylist() == polars.to_dicts()
    assert list(frame["decision_id"]) == table["decision_id"].to_pylist()
    assert table.to_pandas().equals(frame)
    with pytest.raises(Invalid):
        scene.client.sql(QUERY, as_="excel")  # type: ignore[call-overload]


def test_a_cut_table_says_so_and_a_moment_hides_what_came_later(scene: Scene) -> None:
    cut = scene.client.sql("from range(100)", limit=7)
    assert (cut.num_rows, cut.schema.metadata) == (7, {b"truncated": b"true"})
    assert scene.client.sql("from range(7)", limit=7).schema.metadata is None
    count = "select count(*) as n from decisions"
    assert scene.client.sql(count, as_of=datetime(2020, 1, 1)).to_pylist() == [{"n": 0}]
    now = datetime.now(UTC) + timedelta(days=1)
    assert scene.client.sql(count, as_of=now).to_pylist() == scene.client.sql(count).to_pylist()


def test_a_million_rows_come_as_they_are_read(scene: Scene) -> None:
    table = scene.client.sql("select range as n from range(1000000)", limit=2_000_000)
    assert table["n"].to_pylist() == list(range(1_000_000))


def test_a_file_is_there_whole_or_not_at_all(scene: Scene, tmp_path: Path) -> None:
    done = scene.client.export("from range(10)", tmp_path / "n.parquet", limit=4)
    assert (done.rows, done.truncated) == (4, True)
    assert pd.read_parquet(tmp_path / "n.parquet")["range"].tolist() == [0, 1, 2, 3]
    sink = io.BytesIO()
    scene.client.export("select 1 as a", sink, format="jsonl")
    assert sink.getvalue() == b'{"a":1}\n'
    with pytest.raises(Invalid):
        scene.client.export("selec", tmp_path / "m.csv")
    with pytest.raises(Invalid):
        scene.client.export("select 1", tmp_path / "m.doc")
    with pytest.raises(NotFound):
        scene.client.export("select 1", tmp_path / "nowhere" / "m.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["n.parquet"]


def test_saved_queries_and_exports(scene: Scene) -> None:
    client = scene.client
    saved = client.save_query("ages", "select avg(age) as age from stranger", description="How old?")
    assert client.saved_query("ages") == saved
    assert saved in list(client.saved_queries("AGES".lower()))
    assert [one.number for one in client.query_history("ages")] == [1]
    export = client.schedule_export("ages", "@ages", folder="who", every=timedelta(hours=1), format="csv")
    assert (export.query, export.format, export.every_seconds) == ("@ages", "csv", 3600)
    assert [one.name for one in client.exports()] == ["ages"]
    client.remove_export("ages")
    client.remove_query("ages", why="asked and answered")
    with pytest.raises(NotFound):
        client.saved_query("ages")


def test_outcomes_by_a_business_key_and_their_lag(scene: Scene) -> None:
    rows = scene.rows.head(3).assign(age=[9161, 9161, 9162])
    ids = scene.endpoint.score(rows).decision_ids
    done = scene.endpoint.outcomes({"age": [9161, 9162, 9163], "late": [1, 0, 1]}, key="age", outcome="late")
    assert (done.recorded, done.decisions, done.unknown) == (3, 2, 1)
    assert done.sample == [{"row": 2, "key": 9163}]
    found = [scene.client.decision(one)["decision"]["outcome"] for one in ids]
    assert found == [None, 1, 0]
    assert scene.endpoint.labels()["known"] >= 2
    assert scene.endpoint.waiting()["keyed"]["total"] == 1


def test_of_a_long_table_nothing_is_kept_when_a_late_row_is_wrong(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsavo.client.outcomes._A_CALL", 2)
    ids = scene.endpoint.score(scene.rows.head(5)).decision_ids
    with pytest.raises(Invalid, match="row 5, column 'happened'") as caught:
        scene.endpoint.outcomes({"decision_id": ids, "happened": [1, 0, 1, 0, 7]}, outcome="happened")
    assert caught.value.field == "values[4]"
    assert all(scene.client.decision(one)["decision"]["outcome"] is None for one in ids)
    done = scene.endpoint.outcomes(
        {"decision_id": [*ids[:4], ids[0][:-1] + "88"], "outcome": [1, 0, 1, 0, 1]}
    )
    assert (done.recorded, done.unknown, done.sample[0]["row"]) == (5, 1, 4)
