"""What comes back from the process that asks models again is believed only as far as it can be checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tsavo.runtimes.jobs import AskedVersion
from tsavo.runtimes.scoring_again import Asking, _outputs
from tsavo.vocabulary import Batch, Field, Hints, Output, Signature, Tensor, TsavoError

SIGNATURE = Signature(
    (Field("a", "float64"),),
    (Output("label", "int64"), Output("probabilities", "float32", 2)),
    "binary",
    (0, 1),
)
LABEL = Tensor.of(np.array([1, 0, 1]))
SHARES = Tensor.of(np.full((3, 2), 0.5, np.float32))


def asking(batches: int = 1) -> Asking:
    return Asking(
        AskedVersion("onnx", Path("m"), "onnx", False, Hints(), SIGNATURE),
        [Batch(3, np.zeros((3, 1)))] * batches,
    )


def left(folder: Path, what: Any) -> Path:
    path = folder / "outputs"
    path.write_bytes(what if isinstance(what, bytes) else msgspec.msgpack.encode(what))
    return path


def test_outputs_as_they_should_be(tmp_path: Path) -> None:
    (given,) = _outputs(left(tmp_path, [(LABEL, SHARES)]), asking())
    assert not isinstance(given, str)
    assert given[0].tolist() == [1, 0, 1]
    assert given[1].dtype == np.float32
    assert _outputs(left(tmp_path, ["it raised", (LABEL, SHARES)]), asking(2))[0] == "it raised"


@pytest.mark.parametrize(
    "what",
    [
        [(LABEL,)],
        [(LABEL, SHARES, SHARES)],
        [(LABEL, Tensor.of(np.zeros((3, 3), np.float32)))],
        [(LABEL, Tensor.of(np.zeros((3, 2))))],
        [(Tensor.of(np.array([1, 0])), SHARES)],
        [(Tensor.of(np.array(["1", "0", "1"], dtype=object)), SHARES)],
    ],
    ids=["too few", "too many", "too wide", "another type", "too short", "text"],
)
def test_outputs_of_another_shape_are_no_answer(tmp_path: Path, what: Any) -> None:
    (given,) = _outputs(left(tmp_path, what), asking())
    assert isinstance(given, str)
    assert given.startswith(("it gave", "the output"))


@pytest.mark.parametrize(
    "what",
    [
        b"",
        b"\xc1 no msgpack",
        b"\xdd\xff\xff\xff\xff",
        [],
        [(LABEL, SHARES)] * 2,
        [[["int64", [3], b"short"], SHARES]],
        [[["int64", [3], ["a", "b", "c"]], SHARES]],
        {"label": 1},
    ],
    ids=["nothing", "noise", "four billion", "no batch", "two batches", "short", "text for numbers", "a map"],
)
def test_what_cannot_be_read_is_an_error(tmp_path: Path, what: Any) -> None:
    with pytest.raises(TsavoError):
        _outputs(left(tmp_path, what), asking())


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = left(tmp_path, [(LABEL, SHARES)])
    link = tmp_path / "link"
    link.symlink_to(secret)
    with pytest.raises(TsavoError):
        _outputs(link, asking())
    with pytest.raises(TsavoError):
        _outputs(tmp_path / "not there", asking())
