"""DuckDB's own reading of a lake's files and our reading of them through Arrow give the same rows."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lake import scene as stage
from tests.lake.scene import START, Scene, decision, outcome, row_id, signature_of
from tsavo.lake.catalog import define_views
from tsavo.lake.recorded import Recorded
from tsavo.lake.session import Session
from tsavo.lake.tail import TailReader
from tsavo.vocabulary import Batch, Field, Invalid, Output, Signature

ODD = Signature(
    (Field("Age", "int64"), Field('q"', "float64"), Field("x (cm)", "string"), Field("time", "bool")),
    (Output("label", "string"), Output("probabilities", "float32", 2)),
    "generic",
)
VERSIONS = (1, 2, 3, 60)

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("decide"),
            st.sampled_from(["sales", "credit-risk"]),
            st.sampled_from(VERSIONS),
            st.sampled_from(["champion", "shadow"]),
            st.integers(1, 3),
        ),
        st.tuples(
            st.just("outcome"),
            st.sampled_from(["sales", "credit-risk"]),
            st.integers(0, 12),
            st.sampled_from([True, 3, 2.5, "late", None]),
            st.integers(0, 12),
        ),
        st.tuples(st.just("ship")),
        st.tuples(st.just("merge")),
        st.tuples(st.just("point"), st.integers(0, 40)),
    ),
    min_size=1,
    max_size=14,
)
QUERIES = (
    "SELECT * FROM decisions",
    "SELECT count(*), min(time), max(latency_us) FROM decisions WHERE version > 1 AND queue_us = 0",
    "SELECT * FROM outcomes",
    "SELECT * FROM monitors WHERE value > 3 OR low IS NULL",
    "SELECT * FROM sales",
    'SELECT * FROM "credit-risk"',
    "SELECT * FROM sales_outcomes",
    'SELECT * FROM "credit-risk_outcomes"',
    "SELECT COLUMNS('(?i)age|label|late|decision_id') FROM sales",
    "SELECT count(COLUMNS(*)) FROM \"credit-risk\" WHERE decision_id > '0' AND role <> 'shadow'",
    "SELECT decision_id, outcome FROM sales WHERE outcome IS NOT NULL AND label IS NOT NULL",
    "SELECT endpoint, role, count(*) AS n, avg(latency_us) AS a FROM decisions GROUP BY ALL HAVING n > 1",
    'FROM "backtest:night"',
)


def _act(scene: Scene, number: int, step: Any) -> None:
    match step:
        case ("decide", endpoint, version, role, rows):
            scene.write(decision(number, endpoint=endpoint, version=version, role=role, rows=rows))
        case ("outcome", endpoint, about, value, at):
            scene.write(outcome([row_id(about)], [value], endpoint=endpoint, at=at))
        case ("ship",):
            scene.ship()
        case ("merge",):
            scene.lake.maintain(most_small_files=0)
        case ("point", value):
            point = {
                "endpoint": "sales",
                "monitor": "m",
                "subject": "s",
                "time": _moment(value),
                "value": value,
            }
            low = {"low": 1.0} if value % 2 else {}
            scene.lake.append_points([{**point, "rows": 1, **low}])


def _moment(number: int) -> datetime:
    return datetime.fromtimestamp(START // 10**9, UTC) + timedelta(hours=number)


def _keep_backtest(scene: Scene) -> None:
    """Two versions' answers to the same decisions: their outputs differ."""
    for upto, version in ((1, 3), (2, 1)):
        signature = signature_of("m", version)
        answers = tuple(
            np.zeros((1,) if output.width is None else (1, output.width)) for output in signature.outputs
        )
        recorded = Recorded(
            request=row_id(upto).partition(":")[0],
            time=_moment(0),
            endpoint="sales",
            model="m",
            version=version,
            role="champion",
            segment="",
            rows=(0,),
            flags=((),),
            runtime="",
            whole=True,
            batch=Batch(1),
            outputs=answers,
        )
        scene.lake.append_backtest("night", [recorded], signature, [answers], upto)


def _through_arrow(scene: Scene, query: str, as_of: datetime | None) -> pa.Table | str:
    lake = scene.reopened()
    with Session() as session:
        define_views(session, query, lake._folders, TailReader(scene.journals).read(), signature_of, as_of)
        try:
            return session.table(query)
        except duckdb.Error as error:
            return type(error).__name__


def _rows(table: pa.Table) -> list[str]:
    return sorted(map(repr, table.to_pylist()))


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS, as_of=st.one_of(st.none(), st.integers(0, 14)))
def test_both_roads_to_the_rows_agree(
    steps: list[Any], as_of: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stage.SIGNATURES, 60, ODD)
    moment = None if as_of is None else datetime.fromtimestamp(START // 10**9 + as_of, UTC)
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        for number, step in enumerate(steps):
            _act(scene, number, step)
        _keep_backtest(scene)
        for query in QUERIES:
            expected = _through_arrow(scene, query, moment)
            if isinstance(expected, str):
                # No endpoint of this name has decided anything, or none with such columns.
                with pytest.raises(Invalid):
                    scene.lake.sql(query, as_of=moment)
                continue
            found = scene.lake.sql(query, as_of=moment)
            assert found.schema.remove_metadata() == expected.schema.remove_metadata(), query
            assert _rows(found) == _rows(expected), query
