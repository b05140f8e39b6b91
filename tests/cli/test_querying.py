"""``sql``, ``query``, ``export``, ``outcomes`` as a person runs them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from tests.cli.conftest import CommandLine, Scene
from tsavo.lake import FORMATS


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


@pytest.mark.parametrize("format", list(FORMATS))
def test_every_kind_of_file_is_written_whole_or_not_at_all(
    tsavo: CommandLine, tmp_path: Path, format: str
) -> None:
    file = tmp_path / f"rows.{format}"
    query = "select range as n, '=' || range as said from range(12345)"
    told = tsavo.json("sql", query, "-o", str(file))
    assert told == {"rows": 12345, "truncated": False, "output": str(file)}
    if format == "xlsx":
        sheet = openpyxl.load_workbook(file).active
        assert sheet is not None
        assert sheet.max_row == 12346
    before = file.read_bytes()
    assert "Could not convert" in tsavo.refused(
        "sql", "select cast('x' || range as int) from range(99)", "-o", str(file)
    )
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("text", "options", "written"),
    [
        ("select 1 as a, '-x' as b", [], b'"a","b"\n1,"\'-x"\n'),
        ("select '-x' as b", ["--raw"], b'"b"\n"-x"\n'),
    ],
    ids=["harmless", "raw"],
)
def test_a_query_may_come_from_standard_input_and_a_file_go_to_standard_output(
    scene: Scene, text: str, options: list[str], written: bytes
) -> None:
    words = ["sql", "-", "--format", "csv", *options, "--home", str(scene.running.home)]
    done = subprocess.run(
        [sys.executable, "-m", "tsavo", *words], input=text.encode(), capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (written, b"")


def test_limits_and_moments(tsavo: CommandLine, rows: Path) -> None:
    tsavo.done("score", "small", str(rows))
    endless = "with recursive t(n) as (select 1 union all select n + 1 from t) select max(n) from t"
    assert "too long" in tsavo.refused("sql", endless, "--seconds", "0.5")
    assert "memory" in tsavo.refused("sql", "select list(range) from range(100000000)", "--memory", "64")
    assert tsavo.json("sql", "select count(*) as n from small", "--as-of", "2020-01-01") == [{"n": 0}]
    assert tsavo.json("sql", "select count(*) > 0 as n from small", "--as-of", "2126-01-01T00:00Z") == [
        {"n": True}
    ]
    assert "as-of" in tsavo.refused("sql", "select 1", "--as-of", "soon")
    assert "did you mean small" in tsavo.refused("sql", "select * from smal")
    assert tsavo.json("sql", "select sum(range) as n, 12.50::decimal(9, 2) as d from range(4)") == [
        {"n": 6, "d": 12.5}
    ]


def test_saved_queries(tsavo: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tsavo.done("query", "ls", "--search", "nothing-like-it").startswith("No saved queries yet")
    assert tsavo.done("query", "save", "mine", "select 1 as n", "--description", "One") == "mine, version 1\n"
    piped(monkeypatch, "select 2 as n")
    assert tsavo.json("query", "save", "mine", "-", "--description", "Two", "--why", "more")["number"] == 2
    assert [one["name"] for one in tsavo.json("query", "ls", "--search", "mine")] == ["mine"]
    assert "Two" in tsavo.done("query", "ls")
    shown = tsavo.done("query", "show", "mine")
    assert "select 2 as n" in shown
    assert "more" in shown
    assert tsavo.json("query", "show", "mine", "--version", "1")["query"]["query"] == "select 1 as n"
    assert tsavo.json("query", "run", "mine") == [{"n": 2}]
    assert tsavo.json("query", "run", "mine", "--version", "1") == [{"n": 1}]
    assert "1 rows in" in tsavo.done("query", "run", "mine", "-o", str(tmp_path / "mine.csv"))
    assert tsavo.json("query", "rm", "mine", "--why", "done") == {"removed": "mine"}
    assert "no such saved query" in tsavo.refused("query", "run", "mine")


def test_exports(scene: Scene, tsavo: CommandLine) -> None:
    made = tsavo.json("export", "select 7 as n", "--name", "seven", "--to", "a/b", "--every", "15m")
    assert (made["every_seconds"], made["folder"]) == (900, "a/b")
    deadline = time.monotonic() + 30
    while tsavo.json("export")[0]["last"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert pd.read_parquet(scene.running.home / "exports" / "a" / "b" / "seven.parquet")["n"].tolist() == [7]
    assert "1 rows, " in tsavo.done("export")
    assert "not written any more" in tsavo.done("export", "--off", "--name", "seven")
    assert tsavo.done("export").startswith("No exports yet")
    assert "a folder is missing" in tsavo.refused("export", "select 1", "--name", "x")
    assert "a name is missing" in tsavo.refused("export", "select 1", "--to", "x")
    assert "not a folder of exports" in tsavo.refused("export", "select 1", "--name", "x", "--to", "/etc")
    assert "not a span of time" in tsavo.refused(
        "export", "select 1", "--name", "x", "--to", "x", "--every", "often"
    )


def score(tsavo: CommandLine, tmp_path: Path, values: list[float]) -> list[str]:
    (tmp_path / "in.csv").write_text("a,b,c\n" + "".join(f"{value},0,0\n" for value in values))
    told: list[dict[str, Any]] = tsavo.json("score", "small", str(tmp_path / "in.csv"))
    return [row["decision_id"] for row in told]


def known(tsavo: CommandLine, ids: list[str]) -> list[Any]:
    return [tsavo.json("decision", one)["decision"]["outcome"] for one in ids]


@pytest.mark.parametrize("format", ["csv", "parquet", "json", "jsonl"])
def test_outcomes_by_a_business_key(tsavo: CommandLine, tmp_path: Path, format: str) -> None:
    place = 5000.0 + 100 * ["csv", "parquet", "json", "jsonl"].index(format)
    ids = score(tsavo, tmp_path, [place, place, place + 1])
    table = pd.DataFrame({"a": [place, place + 1, place + 2], "paid": [1, 0, 1]})
    table["paid_at"] = "2126-01-01T00:00:00Z"
    file = tmp_path / f"paid.{format}"
    match format:
        case "csv":
            table.to_csv(file, index=False)
        case "parquet":
            table.to_parquet(file)
        case "json":
            file.write_text(table.to_json(orient="records"))
        case _:
            file.write_text(table.to_json(orient="records", lines=True))
    words = ["outcomes", "small", str(file), "--key", "a", "--outcome-column", "paid", "--time", "paid_at"]
    # Decisions of today are long before that: nothing is within a day of it.
    assert tsavo.json(*words, "--within", "1d")["unknown"] == 3
    told = tsavo.json(*words)
    assert told == {
        "recorded": 3,
        "decisions": 2,
        "unknown": 1,
        "sample": [{"row": 2, "key": place + 2}],
    }
    assert known(tsavo, ids) == [None, 1, 0]
    assert tsavo.json(*words, "--all")["decisions"] == 3
    assert known(tsavo, ids) == [1, 1, 0]
    listed = tsavo.done("outcomes", "small", "--waiting")
    assert f"a = {place + 2}" in listed or "more; see --offset" in listed


def test_what_the_report_says_to_a_person(tsavo: CommandLine, tmp_path: Path) -> None:
    one, two = score(tsavo, tmp_path, [9000.0, 9001.0])
    stranger = one.removesuffix(":0") + ":77"
    file = tmp_path / "truth.csv"
    file.write_text(f"decision_id,outcome\n{one},1\n{two},0\n{one},0\n{stranger},1\n")
    said = tsavo.done("outcomes", "small", str(file))
    assert said.startswith("4 outcomes recorded\n")
    assert "1 are for a decision that a later row has one for" in said
    assert "1 have no decision here: they are kept aside" in said
    assert f"row 4: {stranger}" in said
    # An empty cell takes an outcome back, unless it is to be left alone.
    file.write_text(f"decision_id,outcome\n{one},\n{two},1\n")
    assert tsavo.json("outcomes", "small", str(file), "--empty", "skip") == {"recorded": 1, "corrected": 1}
    assert known(tsavo, [one, two]) == [0, 1]
    assert tsavo.json("outcomes", "small", str(file)) == {"recorded": 2, "corrected": 1, "unchanged": 1}
    assert known(tsavo, [one, two]) == [None, 1]
    assert "outcomes" in tsavo.done("show", "small")


def test_a_wrong_cell_is_named_by_row_and_column_and_nothing_is_kept(
    tsavo: CommandLine, tmp_path: Path
) -> None:
    ids = score(tsavo, tmp_path, [9100.0, 9101.0])
    file = tmp_path / "paid.csv"
    file.write_text(f"id,paid\n{ids[0]},1\n{ids[1]},yes\n")
    said = tsavo.refused(
        "outcomes", "small", str(file), "--decision-column", "id", "--outcome-column", "paid"
    )
    assert "row 1, column 'paid': not a class of this model" in said
    assert "expected: one of [0, 1]" in said
    file.write_text("a,paid\n9100.0,1\nx,1\n")
    said = tsavo.refused("outcomes", "small", str(file), "--key", "a", "--outcome-column", "paid")
    assert "row 2, column 'a': not a key of this feature" in said
    assert known(tsavo, ids) == [None, None]
    assert "a table is missing" in tsavo.refused("outcomes", "small")
    assert "only keys" in tsavo.refused("outcomes", "small", str(file), "--within", "3d")


def test_sql_files_on_a_stopped_home(scene: Scene, anywhere: CommandLine, tmp_path: Path) -> None:
    from tsavo.storage import Home

    home = tmp_path / "home"
    Home(home).create()
    (home / "registry.db").write_bytes((scene.running.home / "registry.db").read_bytes())
    there = ["--home", str(home)]
    told = anywhere.json("sql", "select 1 as n", "-o", str(tmp_path / "n.xlsx"), *there)
    assert told["rows"] == 1
    assert json.loads(anywhere.done("sql", "select 1 as n", "--json", *there)) == [{"n": 1}]
    assert "syntax error" in anywhere.refused("sql", "selec", "-o", str(tmp_path / "n.csv"), *there)
    assert not (tmp_path / "n.csv").exists()
