from __future__ import annotations

import gzip
import io
import pickle
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression
from skops import io as skops_io

from tsavo.formats import CODE_CARRYING, check_trust, sniff
from tsavo.vocabulary import Unreadable, Untrusted


@pytest.fixture(scope="module")
def model() -> LinearRegression:
    return LinearRegression().fit(np.array([[0.0], [1.0]]), np.array([0.0, 1.0]))


def test_real_files_of_every_format(model: LinearRegression, tmp_path: Path) -> None:
    import cloudpickle

    assert sniff(skops_io.dumps(model)[:4096]) == "skops"
    assert sniff(to_onnx(model, np.zeros((1, 1))).SerializeToString()[:4096]) == "onnx"
    assert sniff(cloudpickle.dumps(lambda x: x)[:4096]) == "cloudpickle"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert sniff(pickle.dumps(model, protocol=protocol)[:4096]) == "pickle"
    for compress in (0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)):
        path = tmp_path / "model.joblib"
        joblib.dump(model, path, compress=compress)
        assert sniff(path.read_bytes()[:4096]) in CODE_CARRYING


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"P",
        b"{}",
        b"\x89PNG\r\n",
        b"PAR1",
        b"PK\x05\x06",
        b"PK\x03\x04" + bytes(26) + b"archive/data.pkl",
    ],
)
def test_other_files_are_refused_with_what_was_found(head: bytes) -> None:
    with pytest.raises(Unreadable) as refusal:
        sniff(head)
    assert refusal.value.field == "source"
    assert refusal.value.next_step


@given(st.binary(max_size=64))
def test_any_bytes_give_a_format_or_a_refusal(head: bytes) -> None:
    try:
        found = sniff(head)
    except Unreadable:
        return
    assert found in CODE_CARRYING | {"skops", "onnx"}


@given(st.binary(max_size=300), st.integers(2, 5))
def test_nothing_that_looks_like_a_pickle_passes_for_a_format_without_code(
    tail: bytes, protocol: int
) -> None:
    assert sniff(bytes([0x80, protocol]) + b"\x95" + tail) in CODE_CARRYING


@given(st.binary(max_size=300))
def test_nothing_compressed_passes_for_a_format_without_code(content: bytes) -> None:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        file.write(content)
    assert sniff(packed.getvalue()) in CODE_CARRYING
    assert sniff(zlib.compress(content)) in CODE_CARRYING


def test_trust_is_needed_for_code_and_for_nothing_else() -> None:
    for source_format in CODE_CARRYING:
        with pytest.raises(Untrusted):
            check_trust(source_format, trusted=False)
        check_trust(source_format, trusted=True)
    check_trust("skops", trusted=False)
    check_trust("onnx", trusted=False)
