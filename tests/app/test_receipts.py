"""A decision's receipt, its replay and a back-test, as a person asks for them: by command line, API and page."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import httpx
import pytest
from tritonclient.grpc import service_pb2

import tsavo
from tests.app.conftest import Running, running_on
from tests.app.conftest import tsavo as command
from tests.app.models import save_small_model
from tsavo.vocabulary import Invalid

ROWS = [[0.1, 0.2, 0.3], [1.0, -1.0, 0.5], [2.0, 0.0, -2.0]]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("receipts")
    (folder / "home").mkdir()
    (folder / "home" / "tsavo.toml").write_text(
        "[ledger]\nsign_seconds = 0.3\n[keeper]\nship_seconds = 0.1\n"
    )
    with running_on(folder / "home") as running:
        model, reference = save_small_model(folder)
        words = ("deploy", str(model), "--name", "small", "--reference", str(reference), "--trust")
        running.tsavo(*words, "--why", "the first one")
        yield running


def ask(running: Running, rows: list[list[float]] = ROWS) -> tuple[str, bytes]:
    """Score rows over HTTP; the id of the first decision, and the body that was sent."""
    tensor = {
        "name": "m",
        "shape": [len(rows), 3],
        "datatype": "FP64",
        "data": [value for row in rows for value in row],
    }
    body = json.dumps({"inputs": [tensor]}).encode()
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "x-tsavo-caller": "me"}
    answer = httpx.post(f"{running.gateway}/v2/models/small/infer", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["parameters"]["decision_id"]), body


def test_the_receipt_has_all_of_it(running: Running) -> None:
    decision, body = ask(running)
    told = running.tsavo("decision", decision.replace(":0", ":2"))
    made = told["decision"]
    assert made["request_digest"] == hashlib.sha256(body).hexdigest()
    assert (made["trace"], made["caller"], made["batch_rows"], made["batch_row"]) == (TRACE, "me", 3, 2)
    assert list(made["features"].values()) == ROWS[2]
    assert made["predict_us"] > 0
    assert made["queue_us"] >= 0
    assert made["decode_us"] > 0
    assert told["deployed"]["why"] == "the first one"
    assert told["deployed"]["action"] == "endpoint.deploy"
    assert told["version"]["lineage"]["data_digest"]
    assert told["runtime"]["libraries"]["onnxruntime"]
    assert (running.home / "runtimes" / f"{made['runtime']}.json").is_file()


def test_it_tells_where_it_stands_in_the_log_and_gives_a_proof_that_strangers_check(
    running: Running, tmp_path: Path
) -> None:
    decision, _ = ask(running)
    deadline = time.monotonic() + 60
    while (log := running.tsavo("decision", decision)["log"])["state"] != "proven":
        assert time.monotonic() < deadline, log
        assert log["proof"] is None
        time.sleep(0.3)
    done = command("decision", decision, "--home", str(running.home))
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("log: ")]
    assert f"entry {log['shipped']}" in line
    page = httpx.get(f"{running.console}/decisions/{decision}").text
    assert f'href="{log["proof"]}"' in page
    assert f"/api/ledger/entries/{log['shipped']}" in page
    (tmp_path / "proof.json").write_bytes(httpx.get(running.console + log["proof"]).content)
    for script, option in (("verify_log.py", "--script"), ("verify_proof.py", "--proof-script")):
        (tmp_path / script).write_text(command("verify-log", option).stdout)
    key = httpx.get(f"{running.console}/api/ledger").json()["key"]
    words = [str(tmp_path / "verify_proof.py"), str(tmp_path / "proof.json"), key]
    checked = subprocess.run(
        [sys.executable, "-I", "-S", *words], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, decision in checked.stdout) == (0, True), checked.stdout + checked.stderr


def test_a_message_by_grpc_has_its_digest_too(running: Running) -> None:
    request = service_pb2.ModelInferRequest(model_name="small")
    tensor = request.inputs.add(name="m", datatype="FP64", shape=[1, 3])
    tensor.contents.fp64_contents.extend(ROWS[0])
    sent = request.SerializeToString()
    assert running.grpc is not None
    with grpc.insecure_channel(running.grpc) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answer = service_pb2.ModelInferResponse.FromString(infer(sent, timeout=30))
    decision = answer.parameters["decision_id"].string_param
    made = running.tsavo("decision", decision)["decision"]
    assert made["request_digest"] == hashlib.sha256(sent).hexdigest()


def test_it_is_replayed_by_every_road(running: Running) -> None:
    decision, _ = ask(running)
    again = running.tsavo("decision", decision, "--replay")["replay"]
    assert (again["verdict"], again["rows"]) == ("same", [0, 1, 2])
    with tsavo.connect(running.console) as client:
        assert client.replay(decision).fine
        everything = [page.counts for page in client.replay_all("small")]
        assert [set(counts) for counts in everything] == [{"same"}]
        query = f"select decision_id from decisions where decision_id = '{decision}';"
        assert [page.counts for page in client.replay_query(query)] == [{"same": 3}]
        with pytest.raises(Invalid, match="decision_id"):
            list(client.replay_query("select 1 as one"))
    page = httpx.get(f"{running.console}/decisions/{decision}?replay=true", timeout=60)
    assert page.status_code == 200
    assert "bit by bit" in page.text
    assert "replay=true" in httpx.get(f"{running.console}/decisions/{decision}").text
    counted = running.tsavo("replay", "small", "--since", "1h")
    assert set(counted["counts"]) == {"same"}
    assert counted["replays"] == []


def test_another_version_is_asked_the_same(running: Running, tmp_path: Path) -> None:
    ask(running)
    model, _ = save_small_model(tmp_path)
    registered = running.tsavo("register", str(model), "--name", "other", "--trust")
    assert registered["version"]["number"] == 1
    done = running.tsavo("backtest", "other@1", "--on", "small", "--name", "trial")
    rows = running.tsavo("sql", 'select * from "backtest:trial"')
    assert done["decisions"] == len(rows) > 0
    # The same file under another name answers the same.
    assert all(row["label"] == row["then.label"] for row in rows)
    assert [one["name"] for one in running.tsavo("backtest", "--list", "--on", "small")] == ["trial"]
    assert running.tsavo("backtest", "--go-on", "trial")["decisions"] == len(rows)
    assert "trial" in httpx.get(f"{running.console}/backtests").text
    assert httpx.get(f"{running.console}/api/backtests/all").json()["total"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay",), "replay what?"),
        (("replay", "nowhere"), "no such endpoint"),
        (("replay", "small", "--query", "select 1"), "replay what?"),
        (("replay", "--query", "select 1", "--since", "1h"), "which decisions it means"),
        (("replay", "small", "--since", "yesterday"), "not a moment"),
        (("backtest",), "back-test what?"),
        (("backtest", "small@1"), "back-test what?"),
        (("backtest", "small@9", "--on", "small"), "no such version"),
        (("backtest", "small@1", "--on", "small", "--name", "../x"), "not a valid name"),
        (("backtest", "--go-on", "nothing"), "no such back-test"),
        (("decision", "nonsense", "--replay"), "not a decision id"),
    ],
    ids=lambda value: "-".join(value[:3]) if isinstance(value, tuple) else "",
)
def test_wrong_words_are_told_in_one_line(running: Running, words: tuple[str, ...], said: str) -> None:
    done = command(*words, "--home", str(running.home))
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_stopped_home_replays_too(tmp_path: Path) -> None:
    with running_on(tmp_path / "home") as running:
        model, reference = save_small_model(tmp_path)
        running.tsavo("deploy", str(model), "--name", "small", "--reference", str(reference), "--trust")
        decision, _ = ask(running)
    words = ("decision", decision, "--replay", "--home", str(tmp_path / "home"), "--json")
    done = command(*words)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["replay"]["verdict"], told["deployed"]["action"]) == ("same", "endpoint.deploy")
    # As a careless hand may leave it.
    artifact = next(tmp_path.glob(f"home/artifacts/**/*{told['version']['artifact'][-20:]}*"))
    artifact.chmod(0o600)
    artifact.write_bytes(artifact.read_bytes()[:-1])
    done = command(*words)
    assert done.returncode == 1
    assert json.loads(done.stdout)["replay"]["verdict"] == "breaks"


def test_rows_that_several_versions_answered_are_replayed_by_each(running: Running, tmp_path: Path) -> None:
    model, reference = save_small_model(tmp_path)
    running.tsavo("deploy", str(model), "--name", "parent", "--reference", str(reference), "--trust")
    with tsavo.connect(running.console) as client:
        for name in ("north", "south"):
            client.register(model, name=name, reference=reference, trust=True)
        client.family("parent").make("region")
        client.family("parent").set({"north": "north@1", "south": "south@1"})
        tensors = [
            {
                "name": "region",
                "shape": [5],
                "datatype": "BYTES",
                "data": ["north", "south", "north", "?", "south"],
            },
            {"name": "m", "shape": [5, 3], "datatype": "FP64", "data": [float(at) for at in range(15)]},
        ]
        answer = httpx.post(f"{running.gateway}/v2/models/parent/infer", json={"inputs": tensors})
        assert answer.status_code == 200, answer.text
        decision = answer.json()["parameters"]["decision_id"].partition(":")[0]
        parts = [client.replay(f"{decision}:{row}") for row in range(5)]
        assert [str(part.version) for part in parts] == [
            "north@1",
            "south@1",
            "north@1",
            "parent@1",
            "south@1",
        ]
        assert parts[0].rows == (0, 2)
        assert {part.verdict for part in parts} == {"same"}
        told = client.decision(f"{decision}:1")
        assert (told["decision"]["segment"], told["deployed"]["action"]) == ("south", "family.set")
