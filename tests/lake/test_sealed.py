"""Personal values lie in the lake as only their keys open them, and come out bit for bit while these are there."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.lake.scene import MIXED, Scene, decision, request_id
from tests.lake.test_recorded import same
from tests.lake.test_rows import Scored, scored
from tsavo.endpoints.origins import Origin
from tsavo.endpoints.sealing import SealingDesk
from tsavo.lake import Lake
from tsavo.privacy import KeyRing, SubjectKeys
from tsavo.vocabulary import (
    Batch,
    Damaged,
    DecisionRecord,
    Privacy,
    Signature,
    Unavailable,
    VersionRef,
    input_tensors,
)


def sealed(
    ring: KeyRing, records: list[tuple[Signature, DecisionRecord]], columns: list[str], whose: list[str]
) -> list[DecisionRecord]:
    """The records as a gateway writes them where these columns are personal."""

    async def seal() -> list[DecisionRecord]:
        subjects = SubjectKeys(ring.new_store, time.time_ns, stock=4)
        desk = SealingDesk(lambda: subjects)
        found = []
        for (signature, record), subject in zip(records, whose, strict=True):
            arrays = [tensor.array() for tensor in record.inputs]
            matrix = signature.matrix_dtype is not None
            batch = Batch(record.rows, arrays[0] if matrix else None, () if matrix else tuple(arrays))
            sealing = await desk.sealing(
                Privacy(None, tuple(columns)), signature, batch, Origin(subject=subject, digest=b"d" * 32)
            )
            version = VersionRef(record.model, record.version)
            veiled = sealing.veil(signature, batch, record.numbers, record.request, record.endpoint, version)
            found.append(
                replace(
                    record,
                    inputs=veiled.inputs,
                    hidden=veiled.hidden,
                    subjects=veiled.subjects,
                    sealed=veiled.sealed,
                    digest=sealing.digest(Origin(digest=b"d" * 32)),
                )
            )
        await asyncio.to_thread(desk.close)
        return found

    return asyncio.run(seal())


@settings(max_examples=30, deadline=None)
@given(first=scored(), hide=st.sets(st.sampled_from(["f0", "f1", "f2", "f3"])), shipped=st.integers(0, 3))
def test_any_sealed_request_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, first: Scored, hide: set[str], shipped: int
) -> None:
    signature, records = first[0], first[1]
    scene = Scene(tmp_path_factory.mktemp("scene"))
    ring = KeyRing(scene.root.parent / "keys", scene.root.parent / "master.key")
    scene.lake = Lake(scene.root, scene.journals, lambda _model, _version: signature, ring.unseal, ring.own)
    plain = [replace(one, version=1, request=request_id(at)) for at, one in enumerate(records)]
    # The last one is from before anything was personal.
    whose = [f"subject {at}" for at in range(len(plain))]
    written = [*sealed(ring, [(signature, one) for one in plain[:-1]], sorted(hide), whose[:-1]), plain[-1]]
    for at, record in enumerate(written):
        scene.write(record)
        if at < shipped:
            scene.ship()
    scene.lake.maintain(most_small_files=0)
    found = {one.request: one for one in scene.lake.recorded("credit-risk", [one.request for one in plain])}
    for was in plain:
        now = found[was.request]
        asked = input_tensors(now.batch.matrix, now.batch.columns)
        assert all(same(one, other.array()) for one, other in zip(was.inputs, asked, strict=True))
        assert not now.erased
    # Shown to people, what is personal is not there.
    for was in plain[:-1]:
        told = scene.lake.decision(f"{was.request}:0")
        names = [field.name for field in signature.inputs if field.name in hide]
        assert told["personal"] == names
        assert all(told["features"][name] is None for name in names)
        assert "sealed" not in told
    if len(plain) > 1:
        scene.ship()
        gone = ring.pseudonym(whose[0])
        ring.open().erase(gone, scene.lake.keys_waiting(gone), 1)
        after = {
            one.request: one for one in scene.lake.recorded("credit-risk", [one.request for one in plain])
        }
        assert after[plain[0].request].erased == tuple(range(plain[0].rows))
        assert not any(one.erased for request, one in after.items() if request != plain[0].request)


def world(tmp_path: Path) -> tuple[Scene, KeyRing]:
    scene = Scene(tmp_path)
    ring = KeyRing(tmp_path / "keys", tmp_path / "master.key")
    scene.lake = Lake(scene.root, scene.journals, lambda _model, _version: MIXED, ring.unseal, ring.own)
    return scene, ring


def carried(number: int, carrier: str) -> DecisionRecord:
    return decision(number, version=2, inputs=[[30], [carrier], [True]])


def everything(folder: Path) -> str:
    """All rows of all files, as text."""
    tables = [pq.read_table(path).to_pylist() for path in sorted(folder.rglob("*.parquet"))]
    return json.dumps(tables, default=repr)


def test_whose_a_key_is_is_known_before_the_journal_lets_go(tmp_path: Path) -> None:
    scene, ring = world(tmp_path)
    scene.write(
        *sealed(ring, [(MIXED, carried(1, "zoe")), (MIXED, carried(2, "ada"))], ["carrier"], ["zoe", "ada"])
    )
    zoe, ada = ring.pseudonym("zoe"), ring.pseudonym("ada")
    waiting = scene.lake.keys_waiting(zoe)
    assert len(waiting) == 1
    assert ring.open().subject_of(zoe) == (0, None)
    scene.ship()
    assert scene.lake.keys_waiting(zoe) == set()
    assert (ring.open().subject_of(zoe), ring.open().subject_of(ada)) == ((1, None), (1, None))
    assert ring.open().erase(zoe, [], 5) == list(waiting)


def test_rows_in_plain_text_leave_the_disk(tmp_path: Path) -> None:
    scene, ring = world(tmp_path)
    for number in range(30):
        scene.write(carried(number, "zoe" if number % 3 == 0 else f"c{number}"))
        if number % 10 == 9:
            scene.ship()
    scene.lake.maintain(most_small_files=0)
    scene.write(*sealed(ring, [(MIXED, carried(40, "zoe"))], ["carrier"], ["zoe"]))
    scene.ship()
    assert '"carrier": "zoe"' in everything(scene.root)
    dropped = scene.lake.drop_plain("credit-risk", "carrier", ring.pseudonym("zoe"), ring.pseudonyms())
    assert dropped is not None
    assert dropped.rows == 10
    assert all(name.startswith("lake/decisions/credit-risk/") for name in dropped.files)
    assert '"carrier": "zoe"' not in everything(scene.root)
    left = scene.lake.sql("select decision_id from decisions").column("decision_id").to_pylist()
    # What is sealed stays: its key is what is destroyed.
    expected = [f"{request_id(number)}:0" for number in range(30) if number % 3] + [f"{request_id(40)}:0"]
    assert sorted(left) == sorted(expected)
    again = scene.lake.drop_plain("credit-risk", "carrier", ring.pseudonym("zoe"), ring.pseudonyms())
    assert again is not None
    assert again.rows == 0


def test_a_sealed_row_moved_to_another_decision_does_not_open(tmp_path: Path) -> None:
    scene, ring = world(tmp_path)
    one, other = sealed(
        ring, [(MIXED, carried(1, "zoe")), (MIXED, carried(2, "zoe"))], ["carrier"], ["zoe", "zoe"]
    )
    scene.write(replace(one, sealed=other.sealed))
    with pytest.raises(Damaged, match="cannot be opened"):
        scene.lake.recorded("credit-risk", [one.request])


def test_without_keys_nothing_is_opened_or_lost(tmp_path: Path) -> None:
    scene, ring = world(tmp_path)
    record = sealed(ring, [(MIXED, carried(1, "zoe"))], ["carrier"], ["zoe"])
    scene.write(*record)
    keyless = Lake(scene.root, scene.journals, lambda _model, _version: MIXED)
    with pytest.raises(Unavailable, match="no keys"):
        keyless.recorded("credit-risk", [record[0].request])
    with pytest.raises(Unavailable, match="cannot note"):
        keyless.ship()
    scene.ship()
    found: list[Any] = scene.lake.recorded("credit-risk", [record[0].request])
    assert found[0].batch.columns[1].tolist() == ["zoe"]
