"""Whose data a row is, and what of it is recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsavo.endpoints.origins import Origin
from tsavo.endpoints.sealing import NO_KEYS, OPEN, SealingDesk, Veiled
from tsavo.privacy import KeyRing, SubjectKeys
from tsavo.vocabulary import (
    Batch,
    Field,
    Invalid,
    Output,
    Privacy,
    Signature,
    Unavailable,
    VersionRef,
    decision_context,
    decision_id,
)

NUMBERS = Signature(
    (Field("customer", "int64"), Field("age", "int64")), (Output("value", "float64"),), "regression"
)
MIXED = Signature(
    (Field("name", "string", True), Field("income", "float32", True), Field("age", "int64")),
    (Output("value", "float64"),),
    "regression",
)
REQUEST = "0197f0a0-0000-7000-8000-000000000000"
VERSION = VersionRef("credit", 3)


def veiled(
    folder: Path,
    privacy: Privacy,
    signature: Signature,
    batch: Batch,
    origin: Origin = Origin(),
    numbers: Sequence[int] | None = None,
) -> Veiled:
    async def seal() -> Veiled:
        ring = KeyRing(folder, folder / "master.key")
        subjects = SubjectKeys(ring.new_store, time.time_ns, stock=4)
        desk = SealingDesk(lambda: subjects)
        try:
            sealing = await desk.sealing(privacy, signature, batch, origin)
            return sealing.veil(signature, batch, numbers or range(batch.rows), REQUEST, "credit", VERSION)
        finally:
            await asyncio.to_thread(desk.close)

    return asyncio.run(seal())


def opened(folder: Path, found: Veiled, numbers: Sequence[int]) -> list[dict[int, Any] | None]:
    ring = KeyRing(folder, folder / "master.key")
    contexts = [decision_context(decision_id(REQUEST, number), "credit", "credit@3") for number in numbers]
    return ring.unseal(list(zip(found.sealed, contexts, strict=True)))


def test_numbers_of_a_matrix_are_gone_from_it_and_in_the_seal(tmp_path: Path) -> None:
    matrix = np.array([[7, 30], [8, 31], [7, 32]], dtype=np.int64)
    found = veiled(tmp_path, Privacy("customer"), NUMBERS, Batch(3, matrix))
    assert found.inputs[0].array().tolist() == [[0, 30], [0, 31], [0, 32]]
    assert matrix[0, 0] == 7
    assert found.hidden == (0,)
    assert found.subjects[0] == found.subjects[2] != found.subjects[1]
    assert found.subjects[0] == KeyRing(tmp_path, tmp_path / "master.key").pseudonym("7")
    cells = opened(tmp_path, found, range(3))
    assert cells == [{0: value.to_bytes(8, "little")} for value in (7, 8, 7)]


def test_rows_of_a_part_are_sealed_for_whose_they_are(tmp_path: Path) -> None:
    """The second version answers rows 1 and 2 of three."""
    columns = (np.array(["a", None], object), np.array([1.5, np.nan], np.float32), np.array([30, 31]))
    privacy = Privacy(None, ("name", "income"))
    found = veiled(tmp_path, privacy, MIXED, Batch(2, None, columns), Origin(subject="zoe"), numbers=(1, 0))
    assert [tensor.array().tolist() for tensor in found.inputs] == [[None, None], [0.0, 0.0], [30, 31]]
    first, second = opened(tmp_path, found, (1, 0))
    assert first == {0: "a", 1: np.float32(1.5).tobytes()}
    assert second == {0: None, 1: np.float32(np.nan).tobytes()}


@pytest.mark.parametrize(
    ("privacy", "value", "origin", "field"),
    [
        (Privacy("name"), None, Origin(subject="x"), "name"),
        (Privacy("name"), "   ", Origin(), "name"),
        (Privacy("name"), "x" * 257, Origin(), "name"),
        (Privacy("income"), 1.5, Origin(), "income"),
        (Privacy(None, ("name",)), "zoe", Origin(), "x-tsavo-subject"),
    ],
    ids=["missing", "blank", "too-long", "fraction", "no-header"],
)
def test_a_row_that_is_nobodys_is_refused(
    tmp_path: Path, privacy: Privacy, value: Any, origin: Origin, field: str
) -> None:
    name = value if isinstance(value, str) else None
    income = value if isinstance(value, float) else 1.0
    batch = Batch(1, None, (np.array([name], object), np.array([income], np.float32), np.array([30])))
    with pytest.raises(Invalid) as caught:
        veiled(tmp_path, privacy, MIXED, batch, origin)
    assert caught.value.field == field


def test_the_same_person_whatever_the_type_of_the_column(tmp_path: Path) -> None:
    texts = Batch(1, None, (np.array(["7"], object), np.array([7.0], np.float32), np.array([7])))
    found = {
        veiled(tmp_path, Privacy(column), MIXED, texts).subjects[0] for column in ("name", "income", "age")
    }
    assert len(found) == 1


def test_a_process_without_keys_refuses_and_endpoints_without_personal_data_need_none(tmp_path: Path) -> None:
    batch = Batch(1, np.array([[7, 30]]))
    with pytest.raises(Unavailable, match="no keys"):
        asyncio.run(NO_KEYS.sealing(Privacy("customer"), NUMBERS, batch, Origin()))
    plain = OPEN.veil(NUMBERS, batch, range(1), REQUEST, "credit", VERSION)
    assert plain.inputs[0].array().tolist() == [[7, 30]]
    assert (plain.hidden, plain.subjects, plain.sealed) == ((), (), ())
