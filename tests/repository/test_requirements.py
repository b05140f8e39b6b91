"""The pinned files say what pyproject.toml says, hold a hash for everything, and agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]
GROUPS: dict[str, list[str]] = PYPROJECT["dependency-groups"]
# The extras of single libraries are parts of `models`; PyTorch and MLflow's client are installed beside.
PARTS = {"xgboost", "lightgbm", "catboost", "statsmodels", "environments"}
UNLOCKED = {"torch", "mlflow"}
OURS = ("base", *(extra for extra in EXTRAS if extra not in PARTS | UNLOCKED), "docs", "build", "check", "uv")


class Pin(NamedTuple):
    version: Version
    marker: str
    hashes: int
    via: str


def pins(name: str) -> dict[str, list[Pin]]:
    """What a file pins; more than one version of a package when Pythons differ."""
    found: dict[str, list[Pin]] = {}
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        head = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)(?: ; ([^\\]+))?", block)
        if head:
            pin = Pin(Version(head[2]), (head[3] or "").strip(), block.count("--hash=sha256:"), block)
            found.setdefault(canonicalize_name(head[1]), []).append(pin)
    return found


def wanted(name: str) -> list[Requirement]:
    """What pyproject.toml asks for in the environment of that file."""
    base: list[str] = PYPROJECT["project"]["dependencies"]
    if name == "check":
        groups = [line for group in GROUPS.values() for line in group]
        lines = [*base, *groups, *(line for extra in EXTRAS if extra != "torch" for line in EXTRAS[extra])]
    elif name in EXTRAS:
        lines = [*base, *EXTRAS[name]]
    elif name in GROUPS:
        lines = GROUPS[name]
    else:
        lines = base if name == "base" else ["uv"]
    requirements = [Requirement(line) for line in lines]
    seen: set[str] = set()
    waiting = [one for one in requirements if one.name == "tsavo"]
    while waiting:
        for extra in waiting.pop().extras - seen:
            seen.add(extra)
            more = [Requirement(line) for line in EXTRAS[extra]]
            requirements += more
            waiting += [one for one in more if one.name == "tsavo"]
    return [one for one in requirements if one.name != "tsavo"]


def test_there_is_a_file_for_every_extra() -> None:
    peers = {path.stem for path in (ROOT / "requirements").glob("bench-*.in")}
    assert {path.stem for path in FILES} == {*OURS, *peers}


@pytest.mark.parametrize("name", OURS)
def test_a_file_is_what_pyproject_asks_for(name: str) -> None:
    pinned = pins(name)
    asked = {canonicalize_name(requirement.name) for requirement in wanted(name)}
    for requirement in wanted(name):
        found = pinned.get(canonicalize_name(requirement.name))
        assert found, f"{requirement} is not in requirements/{name}.txt: run 'make requirements'"
        for pin in found:
            assert requirement.specifier.contains(pin.version), f"{requirement}: {pin.version} is pinned"
    direct = {
        package for package, found in pinned.items() if any("(pyproject.toml" in pin.via for pin in found)
    }
    assert direct - asked == set(), f"no longer asked for in requirements/{name}.txt: run 'make requirements'"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_everything_is_pinned_and_hashed_and_nothing_says_where_it_is(path: Path) -> None:
    lines = path.read_text().splitlines()
    starts = [line for line in lines if re.match(r"[A-Za-z0-9]", line)]
    assert starts
    assert all("==" in line for line in starts)
    assert all(pin.hashes for found in pins(path.stem).values() for pin in found)
    assert not [line for line in lines if "://" in line or line.startswith("-") or " @ " in line]


def test_all_environments_have_the_same_versions() -> None:
    everything = pins("check")
    for name in OURS:
        for package, found in pins(name).items():
            assert {pin.version for pin in found} <= {pin.version for pin in everything[package]}, package


def test_every_dependency_has_an_upper_bound() -> None:
    lines = [*PYPROJECT["project"]["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    for requirement in map(Requirement, lines):
        if requirement.name != "tsavo":
            assert {spec.operator for spec in requirement.specifier} == {">=", "<"}, str(requirement)
