"""skops files need no trust, so nothing in them may run, lead outside, or break anything but its own worker."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeRegressor
from skops import io as skops_io

from tests.hostile.payloads import Scene, runs
from tsavo.vocabulary import TsavoError, Unreadable, Untrusted

LINE = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])


def _parts(model: Any) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(skops_io.dumps(model))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _forged(scene: Scene, model: Any, change: Callable[[dict[str, bytes]], None]) -> Path:
    parts = _parts(model)
    change(parts)
    path = scene.folder / "model.skops"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def _in_schema(old: str, new: str) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        schema = parts["schema.json"].decode()
        assert old in schema
        parts["schema.json"] = schema.replace(old, new).encode()

    return change


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("posix", "system"), ("evil", "Model")],
)
def test_types_that_are_not_on_the_list_are_named(scene: Scene, module: str, name: str) -> None:
    def change(parts: dict[str, bytes]) -> None:
        schema = json.loads(parts["schema.json"])
        schema["__module__"], schema["__class__"] = module, name
        parts["schema.json"] = json.dumps(schema).encode()

    error = scene.refused(_forged(scene, LINE, change))
    assert isinstance(error, Untrusted)
    assert f"{module}.{name}" in str(error)


def test_functions_of_others_are_named(scene: Scene) -> None:
    transformer = FunctionTransformer(np.log1p)
    error = scene.refused(_forged(scene, transformer, _in_schema('"log1p"', '"load"')))
    assert error.kind in {"untrusted", "unreadable", "invalid"}


def _hidden_pickle(parts: dict[str, bytes]) -> None:
    for name in parts:
        if name.endswith(".npy"):
            # An array of objects is a pickle in the middle of a harmless file.
            buffer = io.BytesIO()
            np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
            head = buffer.getvalue()[: buffer.getvalue().index(b"\n") + 1]
            parts[name] = head + runs("open('canary', 'w')")


def _state_as_pickle(parts: dict[str, bytes]) -> None:
    schema = json.loads(parts["schema.json"])
    schema["content"] = {"__class__": "object", "__module__": "builtins", "__loader__": "ReduceNode"}
    parts["schema.json"] = json.dumps(schema).encode()


def _without_end(parts: dict[str, bytes]) -> None:
    parts["schema.json"] = b'{"a":' * 100_000


def _unknown_loader(parts: dict[str, bytes]) -> None:
    schema = json.loads(parts["schema.json"])
    schema["__loader__"] = "JsonNode"
    schema["content"] = "open('canary', 'w')"
    parts["schema.json"] = json.dumps(schema).encode()


def _path_tricks(parts: dict[str, bytes]) -> None:
    schema = parts["schema.json"].decode()
    for name in [name for name in parts if name.endswith(".npy")]:
        schema = schema.replace(name, "../../../../etc/passwd")
    parts["schema.json"] = schema.encode()
    parts["../../canary"] = b"x"


def _no_numbers(parts: dict[str, bytes]) -> None:
    for name in parts:
        if name.endswith(".npy"):
            parts[name] = b"\x93NUMPY\x01\x00\xff\xff"


def _vast_array(parts: dict[str, bytes]) -> None:
    for name in parts:
        if name.endswith(".npy"):
            header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"
            parts[name] = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize(
    "change",
    [
        _hidden_pickle,
        _state_as_pickle,
        _without_end,
        _unknown_loader,
        _path_tricks,
        _no_numbers,
        _vast_array,
    ],
)
def test_forged_contents_are_refused(scene: Scene, change: Callable[[dict[str, bytes]], None]) -> None:
    error = scene.refused(_forged(scene, LINE, change))
    assert error.kind in {"unreadable", "untrusted", "invalid", "refused", "too-large"}


def test_a_zip_bomb_is_not_unpacked(scene: Scene) -> None:
    path = scene.folder / "bomb.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"{}")
        with archive.open("a.npy", "w", force_zip64=True) as entry:
            for _ in range(33):
                entry.write(bytes(64 << 20))
    assert path.stat().st_size < 4 << 20
    assert scene.refused(path).kind == "too-large"


def test_forged_trees_harm_nobody_but_their_worker(scene: Scene) -> None:
    """A tree whose children lie outside of it: compiled code would read memory that is not there."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(60, 2))
    tree = DecisionTreeRegressor(max_depth=3).fit(rows, rows[:, 0])
    forest = RandomForestClassifier(3, max_depth=2, random_state=0).fit(rows, rows[:, 0] > 0)
    for model in (tree, forest):
        inner = tree.tree_ if model is tree else forest.estimators_[0].tree_
        for value in (2**30, -7, inner.node_count):

            def change(parts: dict[str, bytes], value: int = value) -> None:
                for name in [name for name in parts if name.endswith(".npy")]:
                    array = np.load(io.BytesIO(parts[name]))
                    if array.dtype.names and "left_child" in array.dtype.names:
                        array["left_child"][0] = value
                        buffer = io.BytesIO()
                        np.save(buffer, array)
                        parts[name] = buffer.getvalue()

            path = _forged(scene, model, change)
            try:
                scene.register(path)
            except TsavoError as error:
                assert error.kind in {"unreadable", "invalid", "refused", "disagreement"}
                scene.nothing_happened(str(error))


def test_truncated_and_flipped_files(scene: Scene) -> None:
    whole = skops_io.dumps(LINE)
    random = np.random.default_rng(1)
    for at in np.linspace(4, len(whole) - 1, 4).astype(int):
        assert isinstance(scene.refused(scene.file(whole[:at], "model.skops"), "skops"), Unreadable)
    for _ in range(6):
        flipped = bytearray(whole)
        flipped[random.integers(0, len(whole))] ^= 1 << random.integers(0, 8)
        try:
            scene.register(scene.file(bytes(flipped), "model.skops"), "skops")
        except TsavoError as error:
            assert error.kind in {"unreadable", "untrusted", "invalid", "refused"}
        scene.nothing_happened()
