"""Ejecting real versions: what is in the folder, and what is refused."""

from __future__ import annotations

import ast
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression

from tests.examples import SteppingClock
from tsavo.actions import ControlPlane, Registration, eject, register
from tsavo.governance import Principal, Right, local_owner
from tsavo.registry import migrate
from tsavo.runtimes import Environments
from tsavo.storage import ArtifactStore, Database
from tsavo.vocabulary import Damaged, Forbidden, NotFound, Version, VersionRef

ADA = local_owner("ada")


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("plane")
    database = Database(f"sqlite:///{folder / 'registry.db'}")
    migrate(database)
    (folder / "work").mkdir()
    yield ControlPlane(
        database,
        ArtifactStore(folder / "kept", folder / "cache"),
        SteppingClock(),
        folder / "work",
        Environments(folder / "environments"),
        folder / "runtimes",
    )
    database.close()


def registered(plane: ControlPlane, folder: Path, model: str, **options: object) -> Version:
    random = np.random.default_rng(len(model))
    rows = random.normal(size=(60, 2))
    fitted = LogisticRegression().fit(rows, rows.sum(axis=1) > 0)
    skops.io.dump(fitted, folder / "model.skops")
    order = Registration(model=model, source=folder / "model.skops", source_name="../my model.SKOPS")
    return register(plane, ADA, msgspec.structs.replace(order, **options)).version


@pytest.fixture(scope="module")
def compiled(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return registered(plane, tmp_path_factory.mktemp("compiled"), "compiled")


@pytest.fixture(scope="module")
def as_it_is(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return registered(plane, tmp_path_factory.mktemp("python"), "as-it-is", runtime="python")


def unpacked(plane: ControlPlane, ref: VersionRef) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(b"".join(eject(plane, ADA, ref)))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_same_version_gives_the_same_bytes(plane: ControlPlane, compiled: Version) -> None:
    assert b"".join(eject(plane, ADA, compiled.ref)) == b"".join(eject(plane, ADA, compiled.ref))


def test_stored_files_go_out_as_they_are_kept(plane: ControlPlane, compiled: Version) -> None:
    files = unpacked(plane, compiled.ref)
    assert files["source/model.skops"] == plane.artifacts.get(compiled.lineage.source_digest)
    assert files["model.onnx"] == plane.artifacts.get(compiled.artifact)
    assert compiled.golden is not None
    assert files["golden.parquet"] == plane.artifacts.get(compiled.golden.digest)
    told = msgspec.json.decode(files["lineage.json"], type=Version)
    assert told == compiled


def test_the_golden_rows_are_the_same_in_both_files(plane: ControlPlane, compiled: Version) -> None:
    files = unpacked(plane, compiled.ref)
    golden = json.loads(files["golden.json"])
    table = pq.read_table(io.BytesIO(files["golden.parquet"]))
    named = {**golden["inputs"]}
    for side in ("prediction", "expected"):
        named |= {f"{side}.{name}": values for name, values in golden[side].items()}
    assert named == table.to_pydict()


def test_a_version_that_is_not_compiled_has_its_source_and_no_onnx(
    plane: ControlPlane, as_it_is: Version
) -> None:
    files = unpacked(plane, as_it_is.ref)
    assert "model.onnx" not in files
    assert files["source/model.skops"] == plane.artifacts.get(as_it_is.artifact)
    assert "scikit-learn==" in files["requirements.txt"].decode()
    assert "torch" not in files["requirements.txt"].decode()


@pytest.mark.parametrize("name", ["compiled", "as_it_is"])
def test_mlflows_files_can_be_read_and_name_what_is_there(
    plane: ControlPlane, name: str, request: pytest.FixtureRequest
) -> None:
    version: Version = request.getfixturevalue(name)
    files = unpacked(plane, version.ref)
    told = yaml.safe_load(files["MLmodel"])
    flavour = told["flavors"]["python_function"]
    package = flavour["loader_module"].rpartition(".")[0]
    assert f"code/{package}/loading.py" in files
    assert flavour["env"]["conda"] in files
    assert flavour["env"]["virtualenv"] in files
    inputs = json.loads(told["signature"]["inputs"])
    assert [column["name"] for column in inputs] == [field.name for field in version.signature.inputs]
    example = json.loads(files[told["saved_input_example_info"]["artifact_path"]])
    assert example["columns"] == [field.name for field in version.signature.inputs]
    assert yaml.safe_load(files["python_env.yaml"])["python"] == version.lineage.python
    assert yaml.safe_load(files["conda.yaml"])["dependencies"][0] == f"python={version.lineage.python}"


@pytest.mark.parametrize(
    ("name", "libraries"),
    [("compiled", {"numpy", "onnxruntime", "pandas"}), ("as_it_is", None)],
)
def test_the_code_imports_nothing_of_tsavo_and_no_more_than_it_may(
    plane: ControlPlane, name: str, libraries: set[str] | None, request: pytest.FixtureRequest
) -> None:
    version: Version = request.getfixturevalue(name)
    files = unpacked(plane, version.ref)
    package = json.loads(files["model.json"])["package"]
    found = set()
    for path, content in files.items():
        if path.endswith(".py"):
            found |= {module.partition(".")[0] for module in imported(ast.parse(content))}
    found -= sys.stdlib_module_names
    assert package in found
    assert "tsavo" not in found
    assert libraries is None or found == libraries | {package}


def test_what_the_code_imports_of_itself_is_there(plane: ControlPlane, as_it_is: Version) -> None:
    files = unpacked(plane, as_it_is.ref)
    package = json.loads(files["model.json"])["package"]
    code = {path: content for path, content in files.items() if path.endswith(".py")}
    for path, content in code.items():
        # What stands at the top of a module is imported whatever happens.
        top = ast.Module([node for node in ast.parse(content).body if isinstance(node, ast.ImportFrom)], [])
        for module in imported(top):
            if module.partition(".")[0] == package:
                place = f"code/{module.replace('.', '/')}"
                assert {f"{place}.py", f"{place}/__init__.py"} & files.keys(), (path, module)


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_versions_of_one_kind_share_their_code_and_others_do_not(
    plane: ControlPlane, compiled: Version, as_it_is: Version, tmp_path: Path
) -> None:
    other = registered(plane, tmp_path, "another")
    packages = [
        json.loads(unpacked(plane, version.ref)["model.json"])["package"]
        for version in (compiled, other, as_it_is)
    ]
    assert packages[0] == packages[1] != packages[2]


def test_a_damaged_file_is_not_handed_out(plane: ControlPlane, tmp_path: Path) -> None:
    version = registered(plane, tmp_path, "damaged")
    assert version.golden is not None
    for digest in (version.golden.digest, version.artifact, version.lineage.source_digest):
        path = plane.artifacts.path(digest)
        whole = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(Damaged):
            eject(plane, ADA, version.ref)
        path.write_bytes(whole)
    assert unpacked(plane, version.ref)


def test_who_may_not_query_may_not_eject(plane: ControlPlane, compiled: Version) -> None:
    with pytest.raises(Forbidden):
        eject(plane, Principal("eve", frozenset({Right.READ})), compiled.ref)
    with pytest.raises(NotFound):
        eject(plane, ADA, VersionRef("compiled", 9))
