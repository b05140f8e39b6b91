from __future__ import annotations

import gzip
import io
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import get_args

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression
from skops import io as skops_io

from tsavo.formats import CODE_CARRYING, check_trust, sniff, sniff_file
from tsavo.formats.archives import first_names, names_in
from tsavo.formats.sniffing import HEAD_BYTES
from tsavo.vocabulary import SourceFormat, TooLarge, TsavoError, Unreadable, Untrusted


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
        b"PK\x03\x04" + bytes(22) + b"\x10\0\0\0archive/data.pkl",
        b"<?xml version='1.0'?><html></html>",
        b'{"features_info": {}}',
        b"age,income\n1,2\n",
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
    assert found in get_args(SourceFormat)


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


def _zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, b"x")
    return path


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a.npy", "b.npy", "schema.json"), "skops"),
        (("MLmodel", "model/schema.json", "conda.yaml"), "mlflow"),
        (("code/model.py", "tsavo-python.json"), "python"),
        (("net/data/0", "net/data.pkl", "net/code/__torch__/net.py", "net/constants.pkl"), "torchscript"),
        (("net/data/weights/weight_0", "net/models/model.json", "net/archive_format"), "torch-export"),
    ],
)
def test_a_zip_is_told_by_the_names_in_it_wherever_they_are(
    tmp_path: Path, names: tuple[str, ...], expected: SourceFormat
) -> None:
    assert sniff_file(_zip(tmp_path / "model", *names)) == expected
    # A first file that hides all others from the beginning.
    big = tmp_path / "big"
    with zipfile.ZipFile(big, "w") as packed:
        packed.writestr("net/data/0" if expected.startswith("torch") else "a.npy", bytes(3 * HEAD_BYTES))
        for name in names:
            if name not in packed.namelist():
                packed.writestr(name, b"x")
    assert sniff_file(big) == expected


@pytest.mark.parametrize(
    "names", [("a.npy",), ("net/data.pkl", "net/version"), ("model/MLmodel",), ("readme.txt",), ()]
)
def test_other_zips_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(Unreadable) as refusal:
        sniff_file(_zip(tmp_path / "model", *names))
    assert refusal.value.next_step


def test_the_names_are_those_that_pythons_own_reader_finds(tmp_path: Path) -> None:
    path = _zip(tmp_path / "model", *(f"folder/é{at}" for at in range(500)))
    with zipfile.ZipFile(path) as packed:
        expected = packed.namelist()
    with path.open("rb") as file:
        assert names_in(file) == expected
    first = first_names(path.read_bytes()[:HEAD_BYTES])
    assert 100 < len(first) < 500
    # The last one may be cut off.
    assert first[:-1] == expected[: len(first) - 1]


def test_a_zip_with_64_bit_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    path = _zip(tmp_path / "model", "a.npy", "b.npy", "schema.json")
    assert b"PK\x06\x06" in path.read_bytes()
    assert sniff_file(path) == "skops"


@given(st.data())
def test_a_damaged_directory_gives_a_format_or_a_refusal(data: st.DataObject) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name in ("a.npy", "schema.json"):
            file.writestr(name, b"x")
    content = bytearray(packed.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    kept = content[: data.draw(st.integers(4, len(content)))]
    try:
        names = names_in(io.BytesIO(bytes(kept)))
    except TsavoError:
        return
    assert len(names) <= len(content) // 46


def test_more_entries_than_a_model_has_are_not_even_read(tmp_path: Path) -> None:
    path = _zip(tmp_path / "model", "schema.json")
    content = bytearray(path.read_bytes())
    end = content.rfind(b"PK\x05\x06")
    content[end + 12 : end + 16] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(TooLarge):
        sniff_file(path)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'{"learner":{"attributes":{},"feature_names":[]', "xgboost"),
        (b"{L\0\0\0\0\0\0\0\x07learner{L", "xgboost"),
        (b"tree\nversion=v4\nnum_class=1\n", "lightgbm"),
        (b"CBM1\x08\x22\0\0", "catboost"),
        (b'<?xml version="1.0"?>\n<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4">', "pmml"),
        (b'<!DOCTYPE PMML [<!ENTITY a "b">]><PMML version="4.4">', "pmml"),
        (b'\xef\xbb\xbf<p:PMML xmlns:p="http://www.dmg.org/PMML-4_3">', "pmml"),
        (b"Characteristic, low,high,values,points\nage,0,30,,10\n", "scorecard"),
    ],
)
def test_text_and_binary_formats_by_their_first_bytes(head: bytes, expected: SourceFormat) -> None:
    assert sniff(head) == expected


def test_trust_is_needed_for_code_and_for_nothing_else() -> None:
    for source_format in CODE_CARRYING:
        with pytest.raises(Untrusted):
            check_trust(source_format, trusted=False)
        check_trust(source_format, trusted=True)
    for source_format in set(get_args(SourceFormat)) - CODE_CARRYING:
        check_trust(source_format, trusted=False)
