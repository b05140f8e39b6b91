"""The independent verifier of single proofs: what it must be, what it must refuse."""

from __future__ import annotations

import ast
import copy
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lake.scene import row_id
from tests.ledger.homes import VERIFIER, LoggedHome
from tsavo.governance import decision_logged, prove_decision
from tsavo.ledger import is_proven
from tsavo.ledger.tree import grow, inclusion_proof, leaf_hash, root_hash
from tsavo.vocabulary import NotFound

SCRIPT = VERIFIER.with_name("verify_proof.py")


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("independent_verify_proof", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VERIFY = load()


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> LoggedHome:
    """A stopped home: decisions in many files, which were then merged."""
    logged = LoggedHome(tmp_path_factory.mktemp("proofs") / "home")
    logged.deploy("credit")
    for number in range(9):
        logged.decide(number * 3, 3)
    logged.attestor.sign()
    logged.scene.lake.maintain(most_small_files=4)
    logged.attestor.round()
    logged.decide(100, 3)
    logged.close()
    return logged


@pytest.fixture(scope="module")
def proof(logged: LoggedHome) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(prove_decision(logged.home, logged.scene.lake, row_id(4)))
    return found


def test_it_is_short_and_stands_on_the_standard_library_alone() -> None:
    source = SCRIPT.read_text()
    assert len(source.splitlines()) < 110
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def run(*words: object) -> tuple[int, str]:
    command = [sys.executable, "-I", "-S", str(SCRIPT), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_proof_is_shown_with_the_heads_and_the_file(
    logged: LoggedHome, proof: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(proof))
    parquet = logged.home.root / proof["file"]
    code, said = run(file, logged.key, logged.anchor, parquet)
    assert (code, said[:3]) == (0, "ok:"), said
    assert row_id(4) in said
    # As the command line prints it.
    file.write_text(json.dumps({"proven": True, "proof": proof}))
    assert run(file, logged.key)[0] == 0
    parquet_copy = tmp_path / "other.parquet"
    parquet_copy.write_bytes(parquet.read_bytes()[:-1] + b"x")
    assert run(file, logged.key, parquet_copy) == (1, f"BAD: {proof['file']}: not the file that was logged\n")
    heads = tmp_path / "heads.jsonl"
    heads.write_bytes(logged.anchor.read_bytes().splitlines(keepends=True)[0])
    assert run(file, logged.key, heads)[1].startswith("BAD: the proof's head: not among")


def change_entry(proof: dict[str, Any]) -> None:
    proof["kept"]["entry"] = proof["kept"]["entry"].replace(proof["file"][-12:], "x" * 12)


def change_number(proof: dict[str, Any]) -> None:
    proof["shipped"]["number"] += 1


def change_path(proof: dict[str, Any]) -> None:
    proof["shipped"]["path"][1] = "00" * 32


def cut_path(proof: dict[str, Any]) -> None:
    proof["shipped"]["path"].pop(0)


def lengthen_path(proof: dict[str, Any]) -> None:
    proof["shipped"]["path"].insert(0, "00" * 32)


def change_root(proof: dict[str, Any]) -> None:
    proof["kept"]["head"]["root"] = "00" * 32


def change_size(proof: dict[str, Any]) -> None:
    proof["kept"]["head"]["size"] += 1


def change_file(proof: dict[str, Any]) -> None:
    proof["file"] = "lake/decisions/credit/other.parquet"


def change_record(proof: dict[str, Any]) -> None:
    proof["record"] = 999_999


def change_table(proof: dict[str, Any]) -> None:
    proof["table"] = "lake/decisions/sales"


def swap_entries(proof: dict[str, Any]) -> None:
    proof["shipped"], proof["kept"] = proof["kept"], proof["shipped"]


@pytest.mark.parametrize(
    "change",
    [
        change_entry,
        change_number,
        change_path,
        cut_path,
        lengthen_path,
        change_root,
        change_size,
        change_file,
        change_record,
        change_table,
        swap_entries,
    ],
)
def test_a_proof_that_was_changed_shows_nothing(
    logged: LoggedHome, proof: dict[str, Any], change: Callable[[dict[str, Any]], None]
) -> None:
    VERIFY.check_proof(proof, logged.key)
    other = copy.deepcopy(proof)
    change(other)
    with pytest.raises((ValueError, KeyError)):
        VERIFY.check_proof(other, logged.key)


@given(st.integers(1, 200), st.data())
def test_its_paths_are_those_of_the_tree(size: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, size - 1))
    leaves = [leaf_hash(bytes([place % 256])) for place in range(size)]
    peaks: list[tuple[int, bytes]] = []
    stored = b"".join(grow(peaks, leaf) for leaf in leaves)

    def read(place: int) -> bytes:
        return stored[32 * place : 32 * place + 32]

    path = inclusion_proof(read, number, size)
    assert VERIFY.root_of(leaves[number], number, size, path) == root_hash(read, size)


def test_where_a_decision_stands_from_its_record_to_its_proof(tmp_path: Path) -> None:
    logged = LoggedHome(tmp_path / "home")
    logged.deploy("credit")

    def standing(number: int) -> Any:
        return decision_logged(logged.home, logged.scene.lake, logged.scene.lake.decision(row_id(number)))

    logged.decide(0, 3)
    told = standing(1)
    assert (told.state, told.proof) == ("logged", None)
    assert "not signed yet" in told.said
    with pytest.raises(NotFound):
        prove_decision(logged.home, logged.scene.lake, row_id(1))
    logged.attestor.sign()
    told = standing(1)
    assert (told.state, told.proof) == ("proven", f"/api/ledger/decisions/{row_id(1)}")
    proof = prove_decision(logged.home, logged.scene.lake, row_id(1))
    assert is_proven(proof.shipped, logged.key)
    assert (proof.shipped.number, proof.kept.number, proof.file) == (told.shipped, told.kept, told.file)
    assert told.head == proof.kept.head
    # What came behind the head is not under it.
    logged.decide(10, 1)
    assert (standing(10).state, standing(1).state) == ("logged", "proven")
    # The index may be deleted: then nobody knows where it stands, and nothing breaks.
    logged.close()
    for file in logged.home.cache.glob("ledger.db*"):
        file.unlink()
    told = standing(1)
    assert (told.state, "index" in told.said) == ("recorded", True)
    with pytest.raises(NotFound):
        prove_decision(logged.home, logged.scene.lake, row_id(1))
