"""Every command against a real Tsavo, in the words that a person would type."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from tests.app.models import save_small_model
from tests.cli.conftest import CommandLine, Scene


@pytest.fixture(scope="session")
def second(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A second version, registered with a brief."""
    folder = tmp_path_factory.mktemp("second")
    model, reference = save_small_model(folder, seed=1)
    words = ["--name", "small", "--reference", str(reference), "--target", "target", "--trust"]
    brief = [
        "--problem",
        "Which one?",
        "--decision",
        "This or that",
        "--value",
        "Much",
        "--assumptions",
        "None",
    ]
    return scene.running.tsavo("register", str(model), *words, *brief)


def score(tsavo: CommandLine, rows: Path) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = tsavo.json("score", "small", str(rows))
    return answers


def test_register_shows_the_checks(tsavo: CommandLine, scene: Scene) -> None:
    words = ["--name", "again", "--reference", str(scene.reference), "--target", "target"]
    said = tsavo.refused("register", str(scene.model), *words)
    assert "--trust" in said
    text = tsavo.done("register", str(scene.model), *words, "--trust")
    assert text.startswith("again@1\n")
    assert "ok  agreement" in text
    assert "Next: tsavo deploy again@1" in text
    assert "was registered before" in tsavo.done("register", str(scene.model), *words, "--trust")


def test_deploy_says_what_is_missing(tsavo: CommandLine, scene: Scene) -> None:
    assert f"tsavo deploy {scene.model} --name NAME" in tsavo.refused("deploy", str(scene.model))
    assert "small@99" in tsavo.refused("deploy", "small@99")
    assert "not JSON" in tsavo.refused("deploy", "small", "--constant", "{")
    assert "label" in tsavo.refused("deploy", "small", "--constant", "-1")


def test_score_writes_any_kind_of_table(tsavo: CommandLine, rows: Path, tmp_path: Path) -> None:
    as_rows = score(tsavo, rows)
    assert [list(row) for row in as_rows] == [
        ["decision_id", "label", "probabilities", "version", "role", "flags"]
    ] * 3
    table = pcsv.read_csv(io.BytesIO(tsavo.done("score", "small", str(rows)).encode()))
    expected = [row["probabilities"] for row in as_rows]
    assert [json.loads(text) for text in table.column("probabilities").to_pylist()] == expected
    for name in ("answers.parquet", "answers.json", "answers.jsonl", "answers.csv"):
        said = tsavo.done("score", "small", str(rows), "-o", str(tmp_path / name))
        assert said == f"3 rows scored; answers in {tmp_path / name}\n"
    assert pq.read_table(tmp_path / "answers.parquet").column("probabilities").to_pylist() == expected
    assert [row["probabilities"] for row in json.loads((tmp_path / "answers.json").read_text())] == expected
    assert tsavo.json("score", "small", str(rows), "--output", str(tmp_path / "x.csv")) == {
        "rows": 3,
        "output": str(tmp_path / "x.csv"),
    }


def test_score_reads_standard_input(scene: Scene, rows: Path) -> None:
    lines = '{"a": 1.5, "b": 0, "c": -1}\n{"a": -2, "b": 0.25, "c": 3}\n'
    for given, options in ((rows.read_text(), []), (lines, ["--format", "json"])):
        words = [
            sys.executable,
            "-m",
            "tsavo",
            "score",
            "small",
            "-",
            "--json",
            "--home",
            str(scene.running.home),
        ]
        done = subprocess.run([*words, *options], input=given, capture_output=True, text=True, check=True)
        assert [row["version"] for row in json.loads(done.stdout)][:2] == ["small@1"] * 2


def test_score_refuses_before_anything_is_scored(tsavo: CommandLine, rows: Path, tmp_path: Path) -> None:
    def count() -> int:
        return int(tsavo.json("sql", "select count(*) as n from small")[0]["n"])

    score(tsavo, rows)
    before = count()
    assert "answers.xlsx" in tsavo.refused("score", "small", str(rows), "-o", str(tmp_path / "answers.xlsx"))
    assert "nowhere" in tsavo.refused("score", "small", str(rows), "-o", str(tmp_path / "nowhere" / "x.csv"))
    (tmp_path / "bad.csv").write_text("a,b,c\n1,2,3\n1,many,3\n")
    assert "inputs.b[1]; found: 'many'" in tsavo.refused("score", "small", str(tmp_path / "bad.csv"))
    (tmp_path / "narrow.csv").write_text("a,b\n1,2\n")
    assert "inputs.c" in tsavo.refused("score", "small", str(tmp_path / "narrow.csv"))
    assert "no such file" in tsavo.refused("score", "small", str(tmp_path / "nowhere.csv"))
    assert "'nowhere'" in tsavo.refused("score", "nowhere", str(rows))
    assert count() == before


def test_outcomes_meet_their_decisions(tsavo: CommandLine, rows: Path, tmp_path: Path) -> None:
    ids = [row["decision_id"] for row in score(tsavo, rows)]
    (tmp_path / "truth.csv").write_text(f"id,happened,seen\n{ids[0]},1,2026-03-01T12:00:00Z\n{ids[1]},0,\n")
    names = ["--decision-column", "id", "--outcome-column", "happened", "--time-column", "seen"]
    assert tsavo.done("outcomes", "small", str(tmp_path / "truth.csv"), *names) == "2 outcomes recorded\n"
    again = tsavo.json("outcomes", "small", str(tmp_path / "truth.csv"), *names)
    assert again == {"recorded": 2, "unchanged": 2}
    told = tsavo.json("decision", ids[0])
    assert told["decision"]["outcome"] == 1
    assert told["version"]["number"] == 1
    assert "decision_id" in tsavo.refused("outcomes", "small", str(tmp_path / "truth.csv"))
    (tmp_path / "wrong.csv").write_text(f"decision_id,outcome\n{ids[0]},1\n{ids[1]},7\n")
    assert "values[1]" in tsavo.refused("outcomes", "small", str(tmp_path / "wrong.csv"))


def test_decision_tells_inputs_outputs_and_origin(tsavo: CommandLine, rows: Path) -> None:
    (decision, *_) = [row["decision_id"] for row in score(tsavo, rows)]
    text = tsavo.done("decision", decision)
    for part in (
        decision,
        "  a  1.5",
        "probabilities",
        "\nsmall@1\n",
        "model.joblib (scikit-learn",
        "put there",
    ):
        assert part in text
    assert "decision_id" in tsavo.refused("decision", "nonsense")


def test_sql_prints_writes_and_cuts(tsavo: CommandLine, rows: Path, tmp_path: Path) -> None:
    score(tsavo, rows)
    assert tsavo.json("sql", "select 1 as one, 'x' as two") == [{"one": 1, "two": "x"}]
    assert tsavo.done("sql", "select 1 as one, 'x' as two") == "one  two\n1    x\n"
    assert tsavo.done("sql", "select * from small where false") == "No rows.\n"
    assert tsavo.done("sql", "select a, b from small", "-o", str(tmp_path / "x.parquet")).endswith(
        "x.parquet\n"
    )
    assert pq.read_table(tmp_path / "x.parquet").column_names == ["a", "b"]
    said = tsavo("sql", "select range as n from range(10)", "--limit", "3", "--json")
    assert (said.code, json.loads(said.out)) == (0, [{"n": 0}, {"n": 1}, {"n": 2}])
    assert said.err == "Cut after 3 rows; ask for more with --rows.\n"
    assert "syntax error" in tsavo.refused("sql", "selec")
    assert "nowhere" in tsavo.refused("sql", "select * from nowhere")


def test_show_and_ls(tsavo: CommandLine, second: Any, rows: Path) -> None:
    assert "small" in tsavo.done("ls")
    assert {route["endpoint"] for route in tsavo.json("ls")} >= {"small"}
    assert tsavo.done("ls", "--search", "nothing like it") == "No endpoints yet. Next: tsavo deploy\n"
    assert {model["name"] for model in tsavo.json("ls", "models")} >= {"small"}
    assert "Which one?" in tsavo.done("ls", "models")
    both = tsavo.json("show", "small")
    assert set(both) == {"endpoint", "model"}
    assert both["model"]["model"]["brief"]["assumptions"] == "None"
    text = tsavo.done("show", "small")
    for part in ("serving", "small@1", "small@2", "This or that", "/v2/models/small/infer"):
        assert part in text
    version = tsavo.done("show", "small@2")
    for part in (
        "model.joblib (joblib, scikit-learn",
        "ok  agreement",
        "label mismatches",
        "float64",
        "scikit-learn=",
    ):
        assert part in version
    assert tsavo.json("show", "small@2") == {**second["version"], "verifications": []}
    assert "tsavo ls" in tsavo.refused("show", "nothing")


def test_diff_shows_only_what_differs(tsavo: CommandLine, second: Any) -> None:
    found = {change["what"]: change for change in tsavo.json("diff", "small@1", "small@2")}
    assert found["source_digest"]["small@2"] == second["version"]["lineage"]["source_digest"]
    assert {"reference", "artifact"} <= set(found)
    assert not {"task", "framework", "input a", "library scikit-learn"} & set(found)
    assert "source_digest" in tsavo.done("diff", "small@1", "small@2")
    assert tsavo.done("diff", "small@1", "small@1") == "They do not differ.\n"
    assert "model@number" in tsavo.refused("diff", "small", "small@2")


def test_shadow_promote_and_roll_back(tsavo: CommandLine, second: Any) -> None:
    tsavo.done("deploy", "small@1", "--endpoint", "switch")
    assert "shadow small@2" in tsavo.done(
        "deploy", "small", "--endpoint", "switch", "--shadow", "--why", "a try"
    )
    assert "champion small@2" in tsavo.done("promote", "switch", "--why", "better")
    route = tsavo.json("rollback", "switch", "--why", "worse")["route"]
    assert (route["champion"], route["why"]) == ({"model": "small", "number": 1}, "worse")
    assert tsavo.refused("promote", "switch", "small@9")


def test_the_plug_and_its_fallbacks(tsavo: CommandLine, second: Any, rows: Path) -> None:
    tsavo.done("deploy", "small@1", "--endpoint", "drill", "--fallback", "small@2")
    text = tsavo.done("plug", "drill", "--why", "fire drill")
    assert "PLUG PULLED" in text
    assert "already" in tsavo.refused("plug", "drill")
    assert "fire drill" in tsavo.done("show", "drill")
    assert "champion small@1" in tsavo.done("plug", "drill", "--off")
    route = tsavo.json("plug", "drill", "--constant", '{"label": 1, "probabilities": [0, 1]}')["route"]
    assert [step["type"] for step in route["fallback"]] == ["constant"]
    tsavo.done("plug", "drill", "--off")


def test_alerts_and_monitors(tsavo: CommandLine, rows: Path) -> None:
    score(tsavo, rows)
    assert tsavo.done("alerts", "--endpoint", "switch") == "No open alerts.\n"
    assert tsavo.done("alerts", "--all", "--endpoint", "switch") == "No alerts.\n"
    assert tsavo.json("alerts", "--endpoint", "switch") == []
    for word in ("ack", "resolve"):
        assert "999" in tsavo.refused(word, "999", "--note", "seen")
    assert isinstance(tsavo.json("monitors", "small"), list)
    assert tsavo.json("findings", "small") is not None
    assert tsavo.done("monitors", "small")
    assert "'nowhere'" in tsavo.refused("monitors", "nowhere")


def test_doctor_is_content(tsavo: CommandLine) -> None:
    looks = tsavo.json("doctor")
    assert all(look["ok"] for look in looks)
    assert len(tsavo.done("doctor").splitlines()) == len(looks)


def test_a_url_does_as_well_as_a_home(
    anywhere: CommandLine, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anywhere.json("ls", "--url", scene.running.console)
    monkeypatch.setenv("TSAVO_URL", scene.running.console)
    assert anywhere.json("ls")
    monkeypatch.delenv("TSAVO_URL")
    monkeypatch.setenv("TSAVO_HOME", str(scene.running.home))
    assert anywhere.json("ls")


def test_what_a_stopped_home_still_answers(anywhere: CommandLine, rows: Path, tmp_path: Path) -> None:
    from tests.app.conftest import running_on

    home = tmp_path / "home"
    model, reference = save_small_model(tmp_path)
    with running_on(home) as running:
        running.tsavo("deploy", str(model), "--name", "small", "--reference", str(reference), "--trust")
        answers = running.tsavo("score", "small", str(rows))
    there = ["--home", str(home)]
    query = "select decision_id, a from small where role = 'champion' order by 1"
    assert anywhere.json("sql", query, *there) == [
        {"decision_id": answer["decision_id"], "a": a}
        for answer, a in zip(answers, [1.5, -2.0, 0.0], strict=True)
    ]
    told = anywhere.json("decision", answers[1]["decision_id"], *there)
    assert told["decision"]["features"] == {"a": -2.0, "b": 0.25, "c": 3.0}
    assert "model.joblib (scikit-learn" in anywhere.done("decision", answers[1]["decision_id"], *there)
    assert all(look["ok"] for look in anywhere.json("doctor", *there))
    assert "tsavo up --detach" in anywhere.refused("ls", *there)
    assert "there is no Tsavo home here" in anywhere.refused(
        "sql", "select 1", "--home", str(tmp_path / "no")
    )
