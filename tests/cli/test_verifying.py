"""``verify`` and ``eject`` as a person types them, against a running Tsavo."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine, Scene


@pytest.fixture(scope="module", autouse=True)
def another_version(scene: Scene) -> None:
    """The same model as a version of another one, which runs as it is."""
    words = ["--name", "verified", "--reference", str(scene.reference), "--target", "target", "--trust"]
    scene.running.tsavo("register", str(scene.model), *words)


def test_verify_tells_of_one_of_a_models_and_of_all_versions(tsavo: CommandLine) -> None:
    one = tsavo.done("verify", "verified@1")
    assert one.startswith("same              verified@1  all ")
    many = tsavo.done("verify", "verified").splitlines()
    assert many[0] == one.strip()
    assert many[1] == "1 versions: 1 same"
    everything = tsavo.done("verify", "--all").splitlines()
    assert one.strip() in everything
    assert everything[-1] == f"{len(everything) - 1} versions: {len(everything) - 1} same"
    assert tsavo.done("verify", "--all", "--after", "verified@1") == "No versions.\n"


def test_verify_as_json(tsavo: CommandLine) -> None:
    found = tsavo.json("verify", "verified@1")
    assert (found["verdict"], found["version"]) == ("same", {"model": "verified", "number": 1})
    many = tsavo.json("verify", "verified")
    assert many["counts"] == {"same": 1}
    assert many["verifications"][0]["version"] == found["version"]


def test_show_tells_of_the_latest_verifications(tsavo: CommandLine) -> None:
    tsavo.done("verify", "verified@1")
    assert "ok  verified 2" in tsavo.done("show", "verified@1")
    shown = tsavo.json("show", "verified@1")
    assert shown["verifications"][0]["verdict"] == "same"


def test_a_version_that_breaks_ends_with_one(tsavo: CommandLine, scene: Scene) -> None:
    version = tsavo.json("show", "verified@1")
    digest = version["golden"]["digest"]
    path = scene.running.home / "artifacts" / digest[:2] / digest[2:]
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole + b"!")
    try:
        said = tsavo("verify", "verified@1")
        assert (said.code, said.err) == (1, "")
        assert said.out.startswith("BREAKS            verified@1  an artifact is not what was written")
        many = tsavo("verify", "verified")
        assert many.code == 1
        assert many.out.endswith("1 versions: 1 BREAKS\n")
        assert "NO  verified 2" in tsavo.done("show", "verified@1")
        assert "not what was written" in tsavo.refused("eject", "verified@1", "-o", str(path.parent / "out"))
    finally:
        path.write_bytes(whole)


def test_verify_says_what_it_wants(tsavo: CommandLine) -> None:
    assert "verify what?" in tsavo.refused("verify")
    assert "verify what?" in tsavo.refused("verify", "verified", "--all")
    assert "there is no such version" in tsavo.refused("verify", "verified@9")
    assert "there is no such model" in tsavo.refused("verify", "nobody")
    assert "requirements" in tsavo.refused("verify", "verified@1", "--with", "../evil")


def test_eject_writes_a_folder_once(tsavo: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    told = tsavo.done("eject", "verified@1", "-o", str(folder))
    assert told.splitlines()[0] == f"verified@1 is in {folder}"
    assert {"MLmodel", "README.md", "check.py", "golden.parquet", "model.onnx", "predict.py"} <= {
        path.name for path in folder.iterdir()
    }
    (folder / "MLmodel").write_text("changed")
    assert "--force" in tsavo.refused("eject", "verified@1", "-o", str(folder))
    assert (folder / "MLmodel").read_text() == "changed"
    answer = tsavo.json("eject", "verified@1", "--output", str(folder), "--force")
    assert answer == {"version": "verified@1", "folder": str(folder)}
    assert (folder / "MLmodel").read_text().startswith("artifact_path")
    assert "there is no such version" in tsavo.refused("eject", "verified@9", "-o", str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()
