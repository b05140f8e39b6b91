"""What SQL users see, and what a hostile query does not reach."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.lake.scene import START, Scene, decision, outcome, row_id
from tsavo.lake.catalog import mentioned
from tsavo.vocabulary import Invalid


def test_an_empty_home_answers_with_no_rows(scene: Scene) -> None:
    assert scene.rows("SELECT count(*) FROM decisions") == [(0,)]
    assert scene.rows("SELECT count(*) FROM outcomes") == [(0,)]
    assert scene.rows("SELECT count(*) FROM monitors") == [(0,)]


@pytest.mark.parametrize("shipped", [True, False])
def test_the_view_of_an_endpoint_has_features_outputs_and_the_outcome(scene: Scene, shipped: bool) -> None:
    scene.write(decision(1), decision(2), outcome([row_id(1)], [True]))
    if shipped:
        scene.ship()
    rows = scene.lake.sql('SELECT * FROM "credit-risk" ORDER BY time').to_pylist()
    assert [row["decision_id"] for row in rows] == [row_id(1), row_id(2)]
    assert rows[0]["time"] == datetime.fromtimestamp(START // 10**9 + 1, UTC)
    assert (rows[0]["age"], rows[0]["income"], rows[0]["label"]) == (1.0, 1.0, 1)
    assert (rows[0]["probabilities"], rows[0]["probability"]) == ([0.25, 0.75], 0.75)
    assert [row["outcome"] for row in rows] == [True, None]
    assert "seq" not in rows[0]
    assert "journal" not in rows[0]


def test_columns_that_share_a_name_with_system_columns_are_told_apart(scene: Scene) -> None:
    from tests.lake import scene as stage
    from tsavo.vocabulary import Field, Output, Signature

    odd = Signature(
        (
            Field("time", "float64"),
            Field("Label", "float64"),
            Field("x (cm)", "float64"),
            Field('q"', "float64"),
        ),
        (Output("label", "float64"),),
        "generic",
    )
    stage.SIGNATURES[50] = odd
    try:
        scene.write(decision(1, version=50))
        for _ in range(2):
            (row,) = scene.lake.sql('SELECT * FROM "credit-risk"').to_pylist()
            assert row["features.time"] == row["features.Label"] == row["x (cm)"] == row['q"'] == 1.0
            assert row["label"] == 1.0
            scene.ship()
    finally:
        del stage.SIGNATURES[50]


def test_versions_that_disagree_about_a_type_share_a_column_without_loss(scene: Scene) -> None:
    scene.write(decision(1, version=1), decision(2, version=2))
    scene.ship()
    scene.write(decision(3, version=2))
    query = 'SELECT decision_id, age, carrier, late, income FROM "credit-risk" ORDER BY time'
    expected = [
        (row_id(1), 1.0, None, None, 1.0),
        (row_id(2), 2.0, "s2", False, None),
        (row_id(3), 3.0, "s3", True, None),
    ]
    assert scene.rows(query) == expected
    scene.ship()
    assert scene.rows(query) == expected
    scene.write(decision(4, version=3))
    assert [row[1] for row in scene.rows(query)] == ["1.0", "2", "3", "s4"]
    scene.ship()
    assert [row[1] for row in scene.rows(query)] == ["1.0", "2", "3", "s4"]


def test_missing_numbers_are_null(scene: Scene) -> None:
    scene.write(decision(1, inputs=[[float("nan")], [2.0]]))
    assert scene.rows('SELECT age, income, age IS NULL FROM "credit-risk"') == [(None, 2.0, True)]
    scene.ship()
    assert scene.rows('SELECT age, income, age IS NULL FROM "credit-risk"') == [(None, 2.0, True)]


def test_the_last_outcome_counts_and_a_withdrawn_one_is_open_again(scene: Scene) -> None:
    scene.write(*[decision(number) for number in range(4)])
    scene.write(outcome([row_id(0), row_id(1), row_id(1)], [1, 0, 1], at=1))
    scene.ship()
    scene.write(
        outcome([row_id(0)], [0], at=3), outcome([row_id(2)], [1], at=4), outcome([row_id(2)], [None], at=5)
    )
    # Recorded earlier, arrived later: it does not count.
    scene.write(outcome([row_id(0)], [7], at=2), journal="late")
    query = 'SELECT outcome FROM "credit-risk" ORDER BY time'
    assert scene.rows(query) == [(0,), (1,), (None,), (None,)]
    scene.ship()
    assert scene.rows(query) == [(0,), (1,), (None,), (None,)]
    assert scene.rows("SELECT count(*) FROM outcomes") == [(7,)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], [True, False]),
        ([1, 2**53 + 1], [1, 2**53 + 1]),
        ([1, 2.5], [1.0, 2.5]),
        ([True, 2], [1.0, 2.0]),
        (["late", "on time"], ["late", "on time"]),
        ([1, "on time"], ["1", "on time"]),
    ],
)
def test_outcomes_have_the_narrowest_type_that_fits_all(
    scene: Scene, values: list[object], expected: list[object]
) -> None:
    scene.write(decision(1), decision(2))
    for number, value in enumerate(values, start=1):
        scene.write(outcome([row_id(number)], [value]))
    query = 'SELECT outcome FROM "credit-risk" ORDER BY time'
    for _ in range(2):
        found = [row[0] for row in scene.rows(query)]
        assert found == expected
        assert [type(value) for value in found] == [type(value) for value in expected]
        scene.ship()
    assert scene.rows("SELECT outcome FROM outcomes ORDER BY decision_id")[0] == (
        "true" if values[0] is True else str(values[0]),
    )


def test_filters_on_time_and_id_agree_with_a_full_scan(scene: Scene) -> None:
    for number in range(8):
        scene.write(decision(number))
        scene.ship()
    for number in range(8):
        moment = datetime.fromtimestamp(START // 10**9 + number, UTC).isoformat()
        assert scene.rows(f"SELECT count(*) FROM decisions WHERE time >= '{moment}'") == [(8 - number,)]
        assert scene.rows(f"SELECT count(*) FROM decisions WHERE time < '{moment}'") == [(number,)]
        assert scene.rows(f"SELECT count(*) FROM \"credit-risk\" WHERE decision_id = '{row_id(number)}'") == [
            (1,)
        ]


def test_times_below_a_millisecond_are_not_lost_to_pruning(scene: Scene) -> None:
    # Delta's statistics cut times to milliseconds: a file's newest row may be later than its bound says.
    record = decision(1)
    scene.write(replace(record, time=record.time + 999_000))
    scene.ship()
    moment = datetime.fromtimestamp(START // 10**9 + 1, UTC) + timedelta(microseconds=999)
    assert scene.rows(f"SELECT count(*) FROM decisions WHERE time >= '{moment.isoformat()}'") == [(1,)]


def test_names_are_found_however_they_are_written(scene: Scene) -> None:
    scene.write(decision(1, endpoint="sales"), decision(1, endpoint="sales.eu-west"))
    scene.ship()
    assert scene.rows("FROM SALES SELECT count(*)") == [(1,)]
    assert scene.rows(
        'WITH a AS (SELECT * FROM "sales.eu-west") SELECT count(*) FROM a JOIN sales USING (time)'
    ) == [(1,)]
    assert scene.rows("SELECT count(*) FROM query_table('sales')") == [(1,)]
    assert "sales.eu-west" in mentioned('select 1 from "Sales.EU-west"')


def test_a_long_answer_is_cut_and_says_so(scene: Scene) -> None:
    answer = scene.lake.sql("SELECT * FROM range(100000)", rows=1234)
    assert answer.num_rows == 1234
    assert answer.schema.metadata[b"truncated"] == b"true"
    assert scene.lake.sql("SELECT * FROM range(10)", rows=10).schema.metadata is None


def _files(scene: Scene) -> dict[Path, int]:
    # SQLite's index of a write-ahead log (-shm) changes with every reader.
    files = [path for path in scene.folder.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    return {path: path.stat().st_mtime_ns for path in files}


HOSTILE = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_parquet('{lake}/decisions/credit-risk/*.parquet')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM '{lake}/decisions/credit-risk/*.parquet'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_json('https://example.com/x.json')",
    "SELECT getenv('HOME')",
    "SELECT * FROM query('SELECT * FROM read_csv(''/etc/passwd'')')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''/etc/passwd'')'))",
    "SELECT * FROM read_duckdb('{lake}/x.db')",
    "SELECT * FROM parquet_metadata('{lake}/decisions/credit-risk/*.parquet')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_extensions()",
    "SELECT * FROM which_secret('a', 's3')",
    "SELECT * FROM load_aws_credentials()",
    "SELECT * FROM enable_logging()",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM python_map_function(1)",
    "SET VARIABLE x = 1",
    "CREATE SECRET s (TYPE s3)",
    "COPY FROM DATABASE memory TO other",
    "VACUUM",
    "COMMENT ON VIEW decisions IS 'x'",
    "COPY (SELECT 1) TO '{lake}/out.csv'",
    "COPY decisions TO '{lake}/out.parquet'",
    "EXPORT DATABASE '{lake}/out'",
    "ATTACH '{lake}/other.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "SET memory_limit = '1TB'",
    "SET enable_external_access = true",
    "RESET enable_external_access",
    "CREATE TABLE t AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "INSERT INTO decisions VALUES (1)",
    "DROP VIEW decisions",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/out.csv'",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW decisions",
    "BEGIN",
    "CHECKPOINT",
    "USE memory",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "SELECT * FROM scene",
    "SELECT",
    "",
    ";",
    "\x00",
    "select 'a",
]


@pytest.mark.parametrize("query", HOSTILE)
def test_a_hostile_query_is_refused_in_words_and_leaves_no_trace(scene: Scene, query: str) -> None:
    scene.write(decision(1))
    scene.ship()
    before = _files(scene)
    with pytest.raises(Invalid) as caught:
        scene.lake.sql(query.format(lake=scene.root) + (" -- decisions" if query else ""))
    assert caught.value.reason
    assert caught.value.field == "query"
    assert _files(scene) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c"
        " WHERE a.range + b.range + c.range = -1",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
    ],
)
def test_a_query_without_end_is_stopped(scene: Scene, query: str) -> None:
    started = time.monotonic()
    with pytest.raises(Invalid, match=r"took too long|[Mm]emory"):
        scene.lake.sql(query, seconds=0.3)
    assert time.monotonic() - started < 20
    assert scene.rows("SELECT count(*) FROM decisions") == [(0,)]


def test_a_query_without_measure_is_stopped(scene: Scene) -> None:
    with pytest.raises(Invalid, match=r"[Mm]emory"):
        scene.lake.sql("SELECT list(range) FROM range(1000000000)", memory_mib=100, seconds=20)


def test_no_file_is_made_where_the_process_stands(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(Invalid):
        scene.lake.sql("SELECT count(DISTINCT range) FROM range(500000000)", memory_mib=50, seconds=5)
    assert list(here.iterdir()) == []
