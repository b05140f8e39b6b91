"""Boosters, PyTorch, PMML and scorecards: forged, cut and flipped.

The libraries that read these are written in C++ and believe much of what they read: a crash is theirs and their
worker's, and a refusal to everybody else.
"""

from __future__ import annotations

import json
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.hostile.payloads import Scene, packed, runs
from tsavo.vocabulary import SourceFormat, TsavoError, Unreadable, Untrusted

KINDS = {"unreadable", "invalid", "refused", "too-large", "disagreement", "untrusted"}


def _table() -> tuple[Any, Any]:
    rows = np.random.default_rng(0).normal(size=(80, 3))
    return rows, (rows[:, 0] + rows[:, 1] > 0).astype(int)


def _saved(save: Any, suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{suffix}"
        save(str(path))
        return path.read_bytes()


def _xgboost(suffix: str) -> bytes:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1).fit(*_table())
    return _saved(model.save_model, suffix)


def _lightgbm() -> bytes:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1, n_jobs=1).fit(*_table())
    return _saved(model.booster_.save_model, "txt")


def _catboost() -> bytes:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostClassifier(
        iterations=3, depth=2, verbose=0, allow_writing_files=False, thread_count=1
    )
    return _saved(model.fit(*_table()).save_model, "cbm")


WHOLE = {
    "xgboost json": lambda: _xgboost("json"),
    "xgboost ubj": lambda: _xgboost("ubj"),
    "lightgbm": _lightgbm,
    "catboost": _catboost,
}


def _survives(scene: Scene, content: bytes, source_format: SourceFormat, **options: Any) -> None:
    """A version or a refusal; and nothing else."""
    try:
        scene.register(scene.file(content), source_format, **options)
    except TsavoError as error:
        assert error.kind in KINDS
        assert "Traceback" not in str(error)
        scene.nothing_happened(str(error))
    else:
        scene.nothing_happened()


@pytest.mark.parametrize("name", WHOLE)
def test_boosters_cut_short_or_flipped(scene: Scene, name: str) -> None:
    whole = WHOLE[name]()
    source_format: Any = name.partition(" ")[0]
    for share in (0.3, 0.7):
        error = scene.refused(scene.file(whole[: int(len(whole) * share)]), source_format)
        assert error.kind in KINDS
    random = np.random.default_rng(1)
    for _ in range(5):
        flipped = bytearray(whole)
        flipped[random.integers(8, len(whole))] ^= 1 << random.integers(0, 8)
        _survives(scene, bytes(flipped), source_format)


def test_xgboost_json_that_is_deep_or_forged(scene: Scene) -> None:
    assert scene.refused(scene.file(b'{"learner":' + b"[" * 200_000), "xgboost").kind in KINDS
    model = json.loads(_xgboost("json"))
    for field, value in (
        ("left_children", 2**30),
        ("right_children", -7),
        ("split_indices", 2**31 - 1),
        ("left_children", 0),
    ):
        forged = json.loads(json.dumps(model))
        forged["learner"]["gradient_booster"]["model"]["trees"][0][field][0] = value
        _survives(scene, json.dumps(forged).encode(), "xgboost")
    forged = json.loads(json.dumps(model))
    forged["learner"]["learner_model_param"]["num_class"] = "1000000000"
    forged["learner"]["learner_model_param"]["num_feature"] = "2000000000"
    _survives(scene, json.dumps(forged).encode(), "xgboost")


def test_ubjson_that_claims_vast_arrays(scene: Scene) -> None:
    whole = _xgboost("ubj")
    claims = whole.replace(b"#L\x00\x00\x00\x00", b"#L\x00\x0f\xff\xff")
    assert claims != whole
    assert scene.refused(scene.file(claims), "xgboost").kind in KINDS


def test_lightgbm_text_with_forged_counts(scene: Scene) -> None:
    whole = _lightgbm().decode()
    for old, new in (
        ("num_leaves=", "num_leaves=10000000"),
        ("left_child=", "left_child=99999999 "),
        ("split_feature=", "split_feature=2147483647 "),
        ("max_feature_idx=2", "max_feature_idx=2147483646"),
        ("num_class=1", "num_class=-5"),
        ("tree_sizes=", "tree_sizes=999999999999 "),
        ("num_cat=0", "num_cat=1000000"),
    ):
        assert old in whole
        _survives(scene, whole.replace(old, new).encode(), "lightgbm")


def test_pytorch_pickles_are_refused_before_they_are_read(scene: Scene) -> None:
    harmful = runs(f"open({str(scene.canary)!r}, 'w')")
    path = packed(scene.folder / "m.pt", {"m/data.pkl": harmful, "m/version": "3", "m/byteorder": "little"})
    assert isinstance(scene.refused(path), Unreadable)
    # Behind the names of harmless files.
    script = packed(
        scene.folder / "s.pt",
        {"m/data.pkl": harmful, "m/constants.pkl": harmful, "m/code/__torch__/x.py": "", "m/version": "3"},
    )
    assert isinstance(scene.refused(script), Untrusted)
    exported = packed(
        scene.folder / "e.pt2",
        {
            "m/archive_format": "pt2",
            "m/archive_version": "0",
            "m/models/model.json": "{}",
            "m/data/sample_inputs/model.pt": harmful,
        },
    )
    assert isinstance(scene.refused(exported), Untrusted)
    for trusted in (script, exported):
        scene.refused(trusted, trusted=True)


@pytest.mark.parametrize(
    "prologue",
    [
        '<!DOCTYPE PMML [<!ENTITY x SYSTEM "file://{secret}">]>',
        '<!DOCTYPE PMML [<!ENTITY x SYSTEM "http://127.0.0.1:{port}/">]>',
        '<!DOCTYPE PMML SYSTEM "http://127.0.0.1:{port}/pmml.dtd">',
        '<!DOCTYPE PMML [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
        '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">'
        '<!ENTITY x "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">]>',
    ],
    ids=["file", "net", "dtd", "laughs"],
)
def test_pmml_with_entities(scene: Scene, prologue: str) -> None:
    declared = prologue.format(secret=scene.secret, port=scene.port)
    entity = "" if "SYSTEM" in declared and "ENTITY" not in declared else "&x;"
    content = (
        f'<?xml version="1.0"?>{declared}<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4">'
        f"<Header description='{'x'}'/><DataDictionary><DataField name='a' optype='continuous' dataType='double'/>"
        f"</DataDictionary><RegressionModel functionName='regression' modelName='m'>{entity}</RegressionModel></PMML>"
    )
    assert scene.refused(scene.file(content.encode(), "model.pmml")).kind in KINDS


CARD = b"characteristic,low,high,values,points\n"


def test_scorecards_that_are_none(scene: Scene) -> None:
    for content in (
        CARD + b"age,0,1,,=cmd|' /C calc'!A0\n",
        CARD + b"age," * 100_000,
        CARD + b"age,0,1,,nan\nage,5,2,,inf\n",
        CARD + b'age,,,"' + b"a|" * 100_000,
        CARD,
    ):
        assert scene.refused(scene.file(content, "card.csv"), "scorecard").kind in KINDS


@pytest.mark.parametrize(
    "source_format", ["xgboost", "lightgbm", "catboost", "pmml", "scorecard", "onnx", "skops"]
)
def test_a_pickle_under_another_name_is_never_loaded(scene: Scene, source_format: SourceFormat) -> None:
    content = runs(f"open({str(scene.canary)!r}, 'w')")
    assert scene.refused(scene.file(content), source_format).kind in KINDS
    # With the marks of the format ahead of it.
    for mark in (b"CBM1", b"tree\nversion=v4\n", b'{"learner":', b"{L" + bytes(7) + b"\x07learner"):
        assert scene.refused(scene.file(mark + content), source_format).kind in KINDS


def test_an_archive_that_is_two_things_at_once(scene: Scene) -> None:
    """A zip behind a pickle is a pickle, and a pickle behind a zip is no part of it."""
    harmful = runs(f"open({str(scene.canary)!r}, 'w')")
    inner = scene.folder / "inner"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("schema.json", "{}")
    assert isinstance(scene.refused(scene.file(harmful + inner.read_bytes())), Untrusted)
    assert scene.refused(scene.file(inner.read_bytes() + harmful)).kind in KINDS
    assert isinstance(scene.refused(scene.file(pickle.dumps({"zip": inner.read_bytes()}))), Untrusted)
