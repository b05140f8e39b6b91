"""Folders in a zip: names that lead outside, links, bombs, and an MLmodel file that is more than data."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from tests.hostile.payloads import Scene, packed, runs
from tsavo.vocabulary import Untrusted

KINDS = {"unreadable", "invalid", "refused", "too-large", "untrusted"}
MLMODEL = """
flavors:
  sklearn:
    pickled_model: {path}
    serialization_format: {form}
    sklearn_version: 1.7.0
mlflow_version: 3.0.0
"""


def _mlflow(scene: Scene, mlmodel: str, files: dict[str, bytes | str] | None = None) -> Path:
    return packed(scene.folder / "bundle", {"MLmodel": mlmodel, **(files or {})}, first="MLmodel")


@pytest.mark.parametrize(
    "name",
    [
        "../canary",
        "../../srv/canary",
        "/tmp/canary",
        "model/../../canary",
        "..\\canary",
        "C:canary",
        "\\\\server\\canary",
        "mlmodel",
        "model\x00.skops",
        "a/" * 40 + "deep",
        "x" * 300,
        "ＭＬmodel",
    ],
)
@pytest.mark.parametrize("kind", ["mlflow", "python"])
def test_names_that_lead_elsewhere(scene: Scene, name: str, kind: str) -> None:
    first = "MLmodel" if kind == "mlflow" else "tsavo-python.json"
    path = scene.folder / "bundle"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(first, MLMODEL.format(path="model.pkl", form="skops"))
        entry = zipfile.ZipInfo("placeholder")
        entry.filename = name
        archive.writestr(entry, b"x")
    if kind == "python" and name in {"mlmodel", "ＭＬmodel"}:
        pytest.skip("no other file has that name")
    error = scene.refused(path, trusted=True)
    assert error.kind in KINDS


@pytest.mark.parametrize(
    "mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o600, stat.S_IFCHR | 0o600, stat.S_IFBLK]
)
def test_links_and_devices(scene: Scene, mode: int) -> None:
    path = _mlflow(scene, MLMODEL.format(path="model.skops", form="skops"))
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("model.skops")
        entry.create_system = 3
        entry.external_attr = mode << 16
        archive.writestr(entry, str(scene.secret))
    assert scene.refused(path).kind == "invalid"


def test_a_name_that_is_there_twice(scene: Scene) -> None:
    path = _mlflow(scene, MLMODEL.format(path="model.skops", form="skops"))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("MLmodel", "flavors: {}")
    assert scene.refused(path).kind == "invalid"


def test_a_bomb_of_a_bundle(scene: Scene) -> None:
    path = scene.folder / "bundle"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MLmodel", MLMODEL.format(path="model.skops", form="skops"))
        with archive.open("model.skops", "w", force_zip64=True) as entry:
            for _ in range(5):
                entry.write(bytes(64 << 20))
    assert scene.refused(path).kind == "too-large"


def test_more_files_than_a_model_has(scene: Scene) -> None:
    path = scene.folder / "bundle"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MLmodel", "{}")
        for at in range(20_001):
            archive.writestr(f"f{at}", b"")
    assert scene.refused(path).kind == "too-large"


@pytest.mark.parametrize(
    "yaml",
    [
        "flavors: !!python/object/apply:os.system ['touch canary']",
        "flavors: !!python/object/new:eval ['1']",
        "!!python/module:os",
        "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nflavors: *c",
        "flavors: " + "[" * 10_000,
        "flavors: " + "{a: " * 5_000,
        "flavors: 3",
        "- flavors",
        "flavors: {sklearn: [1, 2]}",
        "\x00\x01\x02",
        "flavors: {sklearn: {pickled_model: null}}",
        "flavors: {}",
    ],
)
def test_an_mlmodel_file_is_data_or_refused(scene: Scene, yaml: str) -> None:
    assert scene.refused(_mlflow(scene, yaml), trusted=True).kind in KINDS


@pytest.mark.parametrize("form", ["skops", "cloudpickle", "pickle"])
@pytest.mark.parametrize("where", ["../../../../{secret}", "{secret}", "model/../../x", "nothing", ".", ""])
def test_a_model_path_that_leads_outside(scene: Scene, where: str, form: str) -> None:
    path = where.format(secret=scene.secret)
    assert scene.refused(_mlflow(scene, MLMODEL.format(path=path, form=form)), trusted=True).kind in KINDS


def test_code_inside_a_bundle_needs_trust(scene: Scene) -> None:
    harmful = runs(f"open({str(scene.canary)!r}, 'w')")
    bundle = _mlflow(
        scene,
        MLMODEL.format(path="model.pkl", form="cloudpickle"),
        {"model.pkl": harmful, "requirements.txt": ""},
    )
    assert isinstance(scene.refused(bundle), Untrusted)
    function = """
flavors:
  python_function: {loader_module: evil, code: code, data: data, env: {}}
"""
    bundle = _mlflow(scene, function, {"code/evil.py": f"open({str(scene.canary)!r}, 'w')", "data/x": "x"})
    assert isinstance(scene.refused(bundle), Untrusted)
    own = packed(
        scene.folder / "own",
        {
            "tsavo-python.json": '{"entry": "evil:model", "requirements": [], "python": null}',
            "evil.py": f"open({str(scene.canary)!r}, 'w')\nmodel = None",
        },
        first="tsavo-python.json",
    )
    assert isinstance(scene.refused(own), Untrusted)


@pytest.mark.parametrize(
    "requirement",
    [
        "-r /etc/passwd",
        "--find-links http://127.0.0.1:{port}/",
        "evil @ http://127.0.0.1:{port}/evil.whl",
        "git+http://127.0.0.1:{port}/evil",
        "-e .",
        "./evil",
        "/tmp/evil.whl",
        "evil; import_me",
        "evil==1 --hash=sha256:0 --install-option=x",
    ],
)
def test_requirements_that_are_no_names(scene: Scene, requirement: str) -> None:
    wanted = requirement.format(port=scene.port)
    bundle = _mlflow(
        scene,
        MLMODEL.format(path="model.pkl", form="cloudpickle"),
        {"model.pkl": runs("1"), "requirements.txt": wanted + "\n"},
    )
    assert scene.refused(bundle, trusted=True).kind in KINDS


@pytest.mark.parametrize(
    "manifest",
    [
        "[]",
        "{}",
        '{"entry": "os:system"}',
        '{"entry": "../evil:model", "requirements": []}',
        '{"entry": "evil:model", "requirements": "all", "python": 3}',
        '{"entry": "evil:__import__(\'os\')", "requirements": []}',
        '{"entry": "' + "a." * 10_000 + ':b"}',
        "[" * 100_000,
    ],
)
def test_a_manifest_is_data_or_refused(scene: Scene, manifest: str) -> None:
    own = packed(scene.folder / "own", {"tsavo-python.json": manifest}, first="tsavo-python.json")
    assert scene.refused(own, trusted=True).kind in KINDS
