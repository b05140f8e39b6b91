from __future__ import annotations

import importlib.metadata

import pytest

from tsavo.app import doctor
from tsavo.app.doctor import Examination, examine
from tsavo.runtimes.confinement import support
from tsavo.storage import Home


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Examination]:
    return {look.name: look for look in examine(Home(tmp_path_factory.mktemp("doctor") / "home"))}


def test_model_libraries_are_told_with_their_versions(looks: dict[str, Examination]) -> None:
    found = looks["libraries"].found
    assert f"scikit-learn {importlib.metadata.version('scikit-learn')}" in found
    assert f"xgboost {importlib.metadata.version('xgboost-cpu')}" in found


def test_a_library_that_is_not_there_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_MODEL_LIBRARIES", {"no-such": ("no_such_module", "models")})
    look = doctor._libraries()
    assert look.ok
    assert look.found == "no model library; not installed: no-such (pip install 'tsavo[models]')"


def test_uv_is_found_and_named(looks: dict[str, Examination]) -> None:
    assert looks["environments"].ok
    assert looks["environments"].found.startswith(f"uv {importlib.metadata.version('uv')} ")


def test_confinement_tells_what_this_machine_enforces(looks: dict[str, Examination]) -> None:
    told = looks["confinement"]
    for layer, words in doctor._LAYERS.items():
        assert (words in told.found.partition("; lacking")[0]) == support()[layer], layer
