from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import FunctionTransformer
from skops import io as skops_io

from tsavo.formats import estimators
from tsavo.formats.estimators import missing_libraries, read_estimator
from tsavo.vocabulary import Invalid, TooLarge, Unreadable, Untrusted

X = np.arange(20.0).reshape(-1, 1)


def _function(value: float) -> float:
    return value


def _archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        GradientBoostingClassifier(n_estimators=2),
        HistGradientBoostingRegressor(max_iter=2),
        KNeighborsClassifier(2),
        MLPRegressor(max_iter=2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_scikit_learns_own_estimators_are_on_the_allow_list(estimator: object, tmp_path: Path) -> None:
    model = estimator.fit(X, (X[:, 0] > 9).astype(int))  # type: ignore[attr-defined]
    path = tmp_path / "model.skops"
    skops_io.dump(model, path)
    found = read_estimator(path, "skops", trusted=False)
    np.testing.assert_array_equal(found.predict(X), model.predict(X))


def test_unknown_types_are_listed_in_order(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops_io.dump([FunctionTransformer(_function), Path("/etc/passwd")], path)
    with pytest.raises(Untrusted) as refusal:
        read_estimator(path, "skops", trusted=True)
    listed = refusal.value.details["types"]
    assert listed == sorted(listed)
    assert any(name.endswith("_function") for name in listed)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "c:\\evil", "a\\b"])
def test_names_that_reach_outside_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="tricks"):
        read_estimator(_archive(tmp_path / "a.skops", "schema.json", name), "skops", trusted=False)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_occur_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="tricks"):
        read_estimator(_archive(tmp_path / "a.skops", "schema.json", "schema.json"), "skops", trusted=False)


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="not a skops file"):
        read_estimator(_archive(tmp_path / "a.skops", "data.txt"), "skops", trusted=False)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps({}))
        archive.writestr("1.npy", bytes(5_000_000))
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(estimators, "MAX_UNPACKED", 1_000_000)
    with pytest.raises(TooLarge):
        read_estimator(path, "skops", trusted=False)


def test_a_pickle_is_not_opened_without_trust(tmp_path: Path) -> None:
    with pytest.raises(Untrusted):
        read_estimator(tmp_path / "there is no such file", "pickle", trusted=False)


def test_a_missing_library_names_the_extra_to_install() -> None:
    named = missing_libraries(ModuleNotFoundError("No module named 'sklearn'", name="sklearn.base"))
    assert "tsavo[sklearn]" in str(named)
    other = missing_libraries(ModuleNotFoundError("No module named 'acme'", name="acme"))
    assert "acme" in str(other)
    assert "tsavo[sklearn]" not in str(other)
