"""The client against a real Tsavo."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

import tsavo
from tests.app.models import strangers_pipeline, strangers_table
from tests.client.conftest import Scene
from tsavo.client.sources import code_commit
from tsavo.vocabulary import Conflict, Invalid, NotFound, Untrusted, VersionRef


class OwnEstimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A class that no allow-list knows."""

    def fit(self, x: Any, y: Any) -> OwnEstimator:
        self.classes_ = np.unique(y)
        return self

    def predict(self, x: Any) -> Any:
        return np.zeros(len(x), dtype=int)


def answered(scene: Scene, endpoint: str = "stranger") -> int:
    query = f"select count(*) as n from {endpoint} where role <> 'shadow'"
    return int(scene.client.sql(query).column("n")[0].as_py())


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, tsavo; assert 'connect' in dir(tsavo); "
        "print(sorted({'numpy', 'pyarrow', 'httpx', 'pandas', 'msgspec'} & set(sys.modules))); "
        "print(tsavo.__version__, tsavo.Client.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded, *_, name = done.stdout.split()
    assert (loaded, name) == ("[]", "Client")
    with pytest.raises(AttributeError, match="conect"):
        tsavo.conect  # noqa: B018


def test_a_live_pipeline_becomes_a_version(scene: Scene) -> None:
    version = scene.registered.version
    assert scene.registered.new
    assert version.ref == VersionRef("stranger", 1)
    assert all(check.passed for check in version.checks)
    assert version.lineage.source_format == "skops"
    assert version.lineage.trusted_by is None
    assert version.lineage.code_commit == code_commit()
    assert version.reference is not None
    assert (version.reference.rows, version.reference.target) == (400, "late")
    assert scene.client.version("stranger@1") == version
    assert scene.client.model("stranger")["model"]["brief"]["problem"] == "Who pays late?"


def test_scores_are_the_pipelines_own(scene: Scene) -> None:
    """Over three requests, with whole numbers, floats, text and missing values."""
    scores = scene.endpoint.score(scene.rows)
    assert len(scores) == len(set(scores.decision_ids)) == 2100
    expected = scene.pipeline.predict_proba(scene.rows)
    np.testing.assert_allclose(scores.outputs["probabilities"], expected, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(scores.outputs["label"], scene.pipeline.predict(scene.rows))
    assert (set(scores.versions), set(scores.roles)) == ({"stranger@1"}, {"champion"})
    assert not any(scores.flags)


def test_an_id_belongs_to_its_row(scene: Scene) -> None:
    scores = scene.endpoint.score(scene.rows.iloc[990:1010])
    for row in (0, 19):
        told = scene.client.decision(scores.decision_ids[row])
        assert told["decision"]["features"]["balance"] == scene.rows["balance"].iloc[990 + row]
        assert told["version"]["number"] == 1


def test_every_make_of_table_scores_the_same(scene: Scene, tmp_path: Path) -> None:
    rows = scene.rows.head(5)
    plain = {name: [None if value != value else value for value in rows[name].tolist()] for name in rows}
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.astype({"city": "category", "age": "float64"}).to_parquet(tmp_path / "rows.parquet")
    expected = scene.endpoint.score(rows).outputs["probabilities"].tolist()
    for data in (
        plain,
        [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)],
        rows[rows.columns[::-1]].assign(more="than needed"),
        tmp_path / "rows.csv",
        str(tmp_path / "rows.parquet"),
    ):
        assert scene.endpoint.score(data).outputs["probabilities"].tolist() == expected


def test_flags_are_those_of_the_row(scene: Scene) -> None:
    rows = scene.rows.head(1200).copy()
    rows.loc[1100, "city"] = "atlantis"
    flags = scene.endpoint.score(rows).flags
    assert [row for row, flag in enumerate(flags) if flag] == [1100]
    assert flags[1100] == ["unseen:city"]


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda rows: rows.drop(columns="age"), "inputs.age"),
        (
            lambda rows: rows.assign(age=rows["age"].astype(float).where(rows.index != 1500)),
            "inputs.age[1500]",
        ),
        (
            lambda rows: rows.assign(balance=rows["balance"].where(rows.index != 1500, np.inf)),
            "inputs.balance[1500]",
        ),
        (lambda rows: rows.assign(plan=1.5), "inputs.plan[0]"),
        (lambda rows: rows.head(0), "table"),
    ],
)
def test_one_wrong_row_and_nothing_is_sent(scene: Scene, spoil: Any, field: str) -> None:
    before = answered(scene)
    with pytest.raises(Invalid) as caught:
        scene.endpoint.score(spoil(scene.rows))
    assert caught.value.field == field
    assert answered(scene) == before


def test_outcomes_meet_their_decisions(scene: Scene, tmp_path: Path) -> None:
    scores = scene.endpoint.score(scene.rows.head(4))
    ids = scores.decision_ids
    assert scene.endpoint.outcomes({"decision_id": ids[:2], "outcome": [1, 0]}).recorded == 2
    assert scene.endpoint.outcomes(pd.Series([0], index=[ids[0]])).corrected == 1
    (tmp_path / "late.csv").write_text(f"decision_id,outcome,time\n{ids[2]},1,2026-03-01T12:00:00Z\n")
    assert scene.endpoint.outcomes(tmp_path / "late.csv").recorded == 1
    known = scene.client.sql(
        f"select decision_id, outcome from stranger where decision_id like '{ids[0].removesuffix('0')}%' order by 1"
    ).to_pylist()
    assert [row["outcome"] for row in known] == [0, 0, 1, None]
    observed = scene.client.decision(ids[2])["decision"]["observed"]
    assert observed.startswith("2026-03-01T12:00:00")


def test_an_outcome_that_is_no_class_is_named_and_none_is_kept(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = scene.endpoint.score(scene.rows.head(4)).decision_ids
    monkeypatch.setattr("tsavo.client.outcomes._A_CALL", 2)
    with pytest.raises(Invalid) as caught:
        scene.endpoint.outcomes({"decision_id": ids, "outcome": [1, 0, 1, 7]})
    assert caught.value.field == "values[3]"
    assert scene.client.decision(ids[2])["decision"]["outcome"] is None


def test_sql_answers_with_a_table(scene: Scene) -> None:
    scene.endpoint.score(scene.rows.head(3))
    table = scene.client.sql("select decision_id, age, probabilities from stranger", limit=2)
    assert table.column_names == ["decision_id", "age", "probabilities"]
    assert (table.num_rows, table.schema.metadata[b"truncated"]) == (2, b"true")
    assert list(table.to_pandas().columns) == table.column_names
    with pytest.raises(Invalid):
        scene.client.sql("drop table decisions")


def test_a_file_with_code_needs_trust_and_its_road_to_champion(scene: Scene, tmp_path: Path) -> None:
    client, endpoint = scene.client, scene.client.deploy("stranger@1", endpoint="switch")
    table, target = strangers_table(300, seed=5)
    joblib.dump(strangers_pipeline(table, target, trees=5), tmp_path / "model.joblib")
    table.assign(late=target).to_csv(tmp_path / "reference.csv", index=False)
    given: dict[str, Any] = {"name": "stranger", "reference": tmp_path / "reference.csv", "target": "late"}
    with pytest.raises(Untrusted):
        client.register(tmp_path / "model.joblib", **given)
    lineage = (second := client.register(str(tmp_path / "model.joblib"), trust=True, **given).version).lineage
    assert (lineage.source_name, lineage.source_format) == ("model.joblib", "joblib")
    assert lineage.trusted_by == lineage.registered_by
    for digest, file in ((lineage.source_digest, "model.joblib"), (lineage.data_digest, "reference.csv")):
        assert digest == hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
    assert [version.number for version in client.versions("stranger")] == [2, 1]
    assert client.newest("stranger") == second

    client.deploy("stranger", "switch", shadow=True, why="a try")
    assert [str(other.version) for other in endpoint.route.challengers] == ["stranger@2"]
    assert str(endpoint.promote(second.ref, why="better").champion) == "stranger@2"
    assert str(endpoint.rollback(why="worse").champion) == "stranger@1"
    history = endpoint.history()
    assert [route.why for route in history.items[:3]] == ["worse", "better", "a try"]
    with pytest.raises(Conflict):
        endpoint.promote("stranger@9")


def test_a_new_endpoint_answers_as_soon_as_it_is_deployed(scene: Scene) -> None:
    for number in range(3):
        endpoint = scene.client.deploy(scene.registered.version, endpoint=f"at-once-{number}")
        assert endpoint.score(scene.rows.head(1)).version == "stranger@1"
        assert endpoint.decisions(limit=1)["items"][0]["role"] == "champion"


def test_the_plug(scene: Scene) -> None:
    endpoint = scene.client.deploy("stranger@1", endpoint="plugged")
    route = endpoint.plug("drill", fallback=[{"label": 0, "probabilities": [0.75, 0.25]}])
    assert route.plug is not None
    assert (route.plug.why, endpoint.route) == ("drill", route)
    with pytest.raises(Conflict):
        endpoint.plug()
    assert endpoint.unplug("over").plug is None


def test_lists_come_page_by_page(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("page-a", "page-b", "page-c"):
        scene.client.deploy("stranger@1", endpoint=name)
    monkeypatch.setattr("tsavo.client.client._PAGE", 1)
    found = [route.endpoint for route in scene.client.endpoints("page-")]
    assert found == ["page-a", "page-b", "page-c"]
    assert [model.name for model in scene.client.models("stranger")] == ["stranger"]
    assert list(scene.client.models("nothing like it")) == []
    assert list(scene.client.alerts(endpoint="page-a", state="open")) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.endpoint("nowhere").route,
        lambda client: client.endpoint("nowhere").score({"a": [1]}),
        lambda client: client.endpoint("nowhere").findings(),
        lambda client: client.deploy("nothing"),
        lambda client: client.deploy("stranger@99"),
        lambda client: client.version("nothing@1"),
        lambda client: client.ack(999),
        lambda client: client.decision("0197f0a0-0000-7000-8000-000000000000:0"),
    ],
)
def test_what_is_not_there_is_not_found(scene: Scene, ask: Any) -> None:
    with pytest.raises(NotFound):
        ask(scene.client)


@pytest.mark.parametrize("name", ["../etc", "a/b", "", "A", "x" * 101])
def test_names_never_reach_a_path(scene: Scene, name: str) -> None:
    for ask in (
        lambda: scene.client.endpoint(name),
        lambda: scene.client.deploy("stranger@1", endpoint=name),
        lambda: scene.client.register(scene.pipeline, name=name),
        lambda: scene.client.model(name),
    ):
        with pytest.raises(Invalid):
            ask()


def test_an_estimator_of_ones_own_needs_trust(scene: Scene) -> None:
    model = OwnEstimator().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(Untrusted) as caught:
        scene.client.register(model, name="own")
    assert "OwnEstimator" in str(caught.value)
    assert "trust=True" in str(caught.value)
    assert [found.name for found in scene.client.models("own")] == []


def test_a_url_does_as_well_as_a_home(scene: Scene) -> None:
    with tsavo.connect(scene.running.console) as client:
        assert client.status()["home"] == str(scene.running.home)
        assert client.url == scene.running.console
        assert client.endpoint("stranger").url == scene.endpoint.url
        assert scene.endpoint.url in repr(scene.endpoint)
