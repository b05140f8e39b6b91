"""Erasing a person on a running home: nobody reads what was sealed, anywhere, and everything else goes on."""

from __future__ import annotations

import gzip
import json
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.app.conftest import Running, running_on, tsavo
from tsavo.client import Client
from tsavo.vocabulary import Invalid

SUBJECT = "wilhelmina.quarrington@example.org"
NAME = "Wilhelmina Quarrington"
INCOME = 73_421.8125
OTHER = "somebody.else@example.org"
MODEL = """
def predict(columns: dict):
    return {"value": columns["income"] * 2 + columns["age"]}
"""
WHY = "asked to be forgotten, case 17"


def save_model(folder: Path, *, known: bool) -> tuple[Path, Path]:
    source = folder / "doubling"
    source.mkdir(parents=True)
    (source / "model.py").write_text(MODEL)
    reference = folder / "reference.csv"
    rows = [f"r{number}@example.net,Person {number},{1000 + number}.5,{20 + number}" for number in range(40)]
    rows += [f"{SUBJECT},{NAME},{INCOME},61"] if known else []
    reference.write_text("\n".join(["customer,name,income,age", *rows]) + "\n")
    return source, reference


def register(running: Running, folder: Path, *, known: bool = False) -> None:
    source, reference = save_model(folder, known=known)
    words = ["--name", "credit", "--reference", str(reference), "--task", "regression", "--trust"]
    running.tsavo("register", str(source), *words)
    running.tsavo("deploy", "credit@1")


def table(*who: str) -> dict[str, list[Any]]:
    mine = [one == SUBJECT for one in who]
    return {
        "customer": list(who),
        "name": [NAME if it else f"N. N. {one}" for it, one in zip(mine, who, strict=True)],
        "income": [INCOME if it else 1000.25 for it in mine],
        "age": [40 + number for number in range(len(who))],
    }


def texts(folder: Path, leave: Callable[[Path], bool] = lambda path: False) -> Iterator[tuple[str, bytes]]:
    """The bytes of every file below a folder: as they lie there, and unpacked where that can be."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or leave(path):
            continue
        content = path.read_bytes()
        yield str(path), content
        if content[:4] == b"PAR1":
            yield (
                f"{path} (rows)",
                json.dumps(pq.read_table(pa.BufferReader(content)).to_pylist(), default=repr).encode(),
            )
        elif content[:2] == b"PK":
            with zipfile.ZipFile(path) as packed:
                yield from ((f"{path}/{name}", packed.read(name)) for name in packed.namelist())
        elif content[:2] == b"\x1f\x8b":
            yield f"{path} (unpacked)", gzip.decompress(content)


def holding(folder: Path, *needles: bytes, leave: Callable[[Path], bool] = lambda path: False) -> list[str]:
    return [
        f"{needle!r} in {where}"
        for where, content in texts(folder, leave)
        for needle in needles
        if needle in content
    ]


def plain_text() -> list[bytes]:
    import struct

    # As text, as the bytes of a number, and as a number that was written out.
    return [SUBJECT.encode(), NAME.encode(), struct.pack("<d", INCOME), str(INCOME).encode()]


def wrapped_keys(home: Path, pseudonym: str) -> list[bytes]:
    connection = sqlite3.connect(f"file:{home / 'keys' / 'keys.db'}?mode=ro", uri=True)
    try:
        found = connection.execute("SELECT wrapped FROM keys WHERE subject = ?", (pseudonym,))
        return [wrapped for (wrapped,) in found]
    finally:
        connection.close()


def parquet_rows(home: Path) -> int:
    return sum(
        pq.ParquetFile(path).metadata.num_rows for path in (home / "lake" / "decisions").rglob("*.parquet")
    )


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


def test_nothing_of_an_erased_person_can_be_read_anywhere(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "backups"
    with running_on(home, "--workers", "2") as running:
        register(running, tmp_path / "models")
        told = running.tsavo(
            "personal", "credit", "--subject", "customer", "--column", "name", "--column", "income"
        )
        assert told["personal"] == {"subject": "customer", "personal": ["name", "income"]}
        with Client(running.console) as client:
            endpoint = client.endpoint("credit")
            first = endpoint.score(table(SUBJECT, OTHER, SUBJECT), key="twice-the-same")
            again = endpoint.score(table(SUBJECT, OTHER, SUBJECT), key="twice-the-same")
            assert list(first.decision_ids) == list(again.decision_ids)
            alone = endpoint.score(table(SUBJECT))
            assert alone.outputs["value"].tolist() == [2 * INCOME + 40]
            for number in range(20):
                endpoint.score(table(f"c{number}@example.net", SUBJECT))
            pseudonym = client.pseudonym(SUBJECT)
            # By the subject's key: found by the pseudonym, and kept under it where it waits.
            found = endpoint.outcomes({"customer": [SUBJECT], "outcome": [1.0]}, key="customer")
            assert (found.decisions, found.unknown) == (1, 0)
            early = endpoint.outcomes(
                {"customer": [SUBJECT], "outcome": [1.0], "time": ["2020-01-01T00:00:00Z"]}, key="customer"
            )
            assert early.unknown == 1
            counted = f"select count(*) as n from decisions where pseudonym = '{pseudonym}'"
            assert client.sql(counted).to_pylist() == [{"n": 23}]

            shown = client.decision(first.decision_ids[0])["decision"]
            assert shown["personal"] == ["customer", "name", "income"]
            assert shown["features"] == {"customer": None, "name": None, "income": None, "age": 40}
            revealed = client.reveal(first.decision_ids[0], "a complaint")
            assert revealed.values == {"customer": SUBJECT, "name": NAME, "income": INCOME}
            seen = next(client.audit(action="personal.reveal"))
            assert (seen.why, seen.subject) == ("a complaint", f"decision:{first.decision_ids[0]}")
            assert client.replay(first.decision_ids[0]).verdict == "same"

        # Perhaps before anybody but the gateways knows whose the keys are.
        running.tsavo("backup", str(folder))
        with Client(running.console) as client:
            late = client.endpoint("credit").score(table(SUBJECT))
        until(lambda: parquet_rows(home) >= 45)
        running.tsavo("backup", str(folder))
        keys = wrapped_keys(home, pseudonym)
        # One for each worker that met the subject.
        assert 1 <= len(keys) <= 2
        # What is personal was never there in plain text; the keys are, until they are destroyed.
        assert holding(home, *plain_text()) == []
        assert len(holding(home, *keys)) == len(keys)
        assert len(holding(folder, *keys)) >= len(keys)

        erased = running.tsavo("erase", "--subject", SUBJECT, "--why", WHY)
        assert erased["subject"] == pseudonym
        assert erased["keys"] == len(keys)
        assert erased["waiting"] == 1
        assert list(erased["backups"]) == [str(folder)]
        assert erased["backups"][str(folder)] >= len(keys)
        assert (erased["pending"], erased["found"], erased["unreached"]) == (False, {}, [])

        assert holding(home, *plain_text(), *keys) == []
        assert holding(folder, *plain_text(), *keys) == []
        with Client(running.console) as client:
            for decision in (first.decision_ids[0], alone.decision_ids[0], late.decision_ids[0]):
                told = client.reveal(decision, "to see that it is gone")
                assert (told.values, told.erased is not None) == ({}, True)
            replay = client.replay(first.decision_ids[0])
            assert (replay.verdict, replay.fine) == ("erased", True)
            assert "erased" in replay.summary
            # Theirs, and those of everybody who was asked together with them; nobody else's.
            counts: dict[str, int] = {}
            for page in client.replay_all("credit"):
                for verdict, count in page.counts.items():
                    counts[verdict] = counts.get(verdict, 0) + count
            assert counts == {"erased": 3 + 1 + 40 + 1}
            assert client.reveal(first.decision_ids[1], "somebody else's").values["customer"] == OTHER
            assert client.sql(counted).to_pylist() == [{"n": 24}]
            audited = next(client.audit(action="subject.erase"))
            assert (audited.subject, audited.why) == (f"subject:{pseudonym}", WHY)

            # They may come back, and are somebody new.
            back = until(lambda: newly_sealed(client))
            assert client.reveal(back, "they came back").values["name"] == NAME
    # What was recorded and sealed is as it was: the log has no word of what it said.
    proven = tsavo("verify-log", "--home", str(home), "--decision", first.decision_ids[0])
    assert proven.returncode == 0, proven.stdout + proven.stderr
    checked = tsavo("verify-log", "--home", str(home))
    assert checked.returncode == 0, checked.stdout + checked.stderr

    # The first backup was made before it was known whose the keys are.
    restored = tmp_path / "restored"
    first_backup = min(path.stem for path in (folder / "backups").glob("*.json"))
    done = tsavo("restore", str(folder), "--home", str(restored), "--backup", first_backup)
    assert done.returncode == 0, done.stderr
    with running_on(restored) as running, Client(running.console) as client:
        assert client.reveal(first.decision_ids[0], "a restored home").values == {}
        assert client.reveal(first.decision_ids[1], "a restored home").values["customer"] == OTHER


def test_callers_say_whose_data_it_is_beside_a_request(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_on(home) as running, Client(running.console) as client:
        register(running, tmp_path / "models")
        endpoint = client.endpoint("credit")
        endpoint.personal(columns=["name", "customer"])
        with pytest.raises(Invalid) as caught:
            endpoint.score(table(OTHER))
        assert caught.value.field == "x-tsavo-subject"
        # Not only what is ASCII.
        over_http = endpoint.score(table(OTHER), subject="Zoë 7").decision_ids[0]
        over_grpc = ask_over_grpc(running.grpc or "", "Zoë 7")
        for decision in (over_http, over_grpc):
            told = client.decision(decision)["decision"]
            assert told["pseudonym"] == client.pseudonym(" Zoë 7 ")
            assert told["features"]["income"] == 1000.25
            assert client.reveal(decision, "a look").values["customer"] == OTHER
        assert client.erase("Zoë 7", WHY).keys == 1
        assert client.reveal(over_http, "a look").values == {}
        assert client.reveal(over_grpc, "a look").values == {}


def ask_over_grpc(address: str, subject: str) -> str:
    from tritonclient import grpc

    inputs = []
    for name, (value,) in table(OTHER).items():
        kind = {"age": "INT64", "income": "FP64"}.get(name, "BYTES")
        array = np.array([value.encode()], object) if kind == "BYTES" else np.array([value])
        inputs.append(grpc.InferInput(name, [1], kind))
        inputs[-1].set_data_from_numpy(array)
    client = grpc.InferenceServerClient(address)
    try:
        answer = client.infer("credit", inputs, headers={"x-tsavo-subject-bin": subject.encode()})
        return str(answer.get_response().parameters["decision_id"].string_param)
    finally:
        client.close()


def newly_sealed(client: Client) -> str | None:
    """A decision that was made after every gateway had heard of the erasure."""
    decision = client.endpoint("credit").score(table(SUBJECT)).decision_ids[0]
    return str(decision) if client.reveal(decision, "is it new?").values else None


def test_rows_from_before_leave_the_disk_too(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "backups"
    with running_on(home) as running:
        register(running, tmp_path / "models", known=True)
        with Client(running.console) as client:
            endpoint = client.endpoint("credit")
            early = endpoint.score(table(SUBJECT, OTHER))
            endpoint.outcomes(
                {"customer": [SUBJECT], "outcome": [1.0], "time": ["2020-01-01T00:00:00Z"]}, key="customer"
            )
            until(lambda: client.sql("select count(*) as n from decisions").to_pylist() == [{"n": 2}])
            running.tsavo("backup", str(folder))
            endpoint.personal(subject="customer", columns=["name", "income"])
            until(
                lambda: client.decision(endpoint.score(table(SUBJECT)).decision_ids[0])["decision"][
                    "personal"
                ]
            )
            exports = home / "exports"
            exports.mkdir(exist_ok=True)
            (exports / "mail.csv").write_text(f"customer\n{SUBJECT}\n")
            assert holding(home, SUBJECT.encode()) != []

            done = client.erase(SUBJECT, WHY)
            assert (done.rows, done.waiting, done.pending) == (1, 1, False)
            # One in the reference data, and the same among the golden rows.
            assert done.samples == 2
            assert set(done.found) == {
                str(exports / "mail.csv"),
                *(name for name in done.found if name.startswith("backup ")),
            }
            assert len(done.found) >= 1
            (exports / "mail.csv").unlink()
            assert holding(home, *plain_text()) == []
            left = client.sql("select decision_id from decisions where role <> 'shadow'").to_pylist()
            assert early.decision_ids[0] not in {row["decision_id"] for row in left}
            assert early.decision_ids[1] in {row["decision_id"] for row in left}
    checked = tsavo("verify-log", "--home", str(home))
    assert checked.returncode == 0, checked.stdout + checked.stderr
