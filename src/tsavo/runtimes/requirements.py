"""Reads a model's requirements: which are acceptable, and which our own environment satisfies already."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tsavo.vocabulary import Invalid

__all__ = ["checked", "unsatisfied"]

_MOST: Final = 1_000
_LONGEST: Final = 1_000
# The same library under another name, built for another purpose.
_SAME: Final = {"xgboost": "xgboost-cpu", "xgboost-cpu": "xgboost"}


def checked(requirements: Sequence[str]) -> list[str]:
    """The requirements in their plain form, each once.

    Raises
    ------
    Invalid
        Naming the first line that is an address, a path, an option, or no requirement at all.
    """
    if len(requirements) > _MOST:
        raise Invalid(
            "too many requirements", field="requirements", found=len(requirements), expected=f"{_MOST}"
        )
    return list(dict.fromkeys(str(_parsed(line)) for line in requirements))


def _parsed(line: str) -> Requirement:
    why = _refusal(line)
    if why is None:
        try:
            parsed = Requirement(line)
        except InvalidRequirement as error:
            why = f"not a requirement ({str(error).splitlines()[0]})"
        else:
            if parsed.url is None:
                return parsed
            why = "it comes from an address of its own"
    raise Invalid(
        f"a requirement is refused: {why}",
        field="requirements",
        found=line[:200],
        expected="a name with versions, as in 'scikit-learn==1.9.1' or 'torch>=2.6; python_version < \"3.13\"'",
        next_step="put a wheel of it into your package registry or wheel folder, and name it here",
    )


def _refusal(line: str) -> str | None:
    plain = line.strip()
    if plain.startswith("-"):
        editable = plain.startswith(("-e", "--editable"))
        return "an editable install" if editable else "an option for the installer"
    if "://" in plain or plain.startswith(("git+", "file:")):
        return "it comes from an address of its own"
    if plain.startswith((".", "/", "~")) or plain.endswith((".whl", ".tar.gz", ".zip")) or "\\" in plain:
        return "it is a path"
    # $: uv puts values of the environment in there, and that is where secrets are.
    if len(plain) > _LONGEST or "$" in plain or not plain.isprintable():
        return "it has characters that no requirement has"
    return None


def unsatisfied(requirements: Sequence[str]) -> list[str]:
    """Which of `requirements` the environment of this process does not satisfy.

    A requirement whose marker does not hold here is satisfied; so is one of a library that is there under the name of
    another build of it.

    >>> unsatisfied(["msgspec>=0.1", "numpy<0.1", "nonesuch; python_version < '3'"])
    ['numpy<0.1']
    """
    return [line for line in requirements if not _holds(_parsed(line))]


def _holds(wanted: Requirement, depth: int = 0) -> bool:
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return True
    name = canonicalize_name(wanted.name)
    for called in (name, _SAME.get(name)):
        version = None if called is None else _version(called)
        if (
            called is not None
            and version is not None
            and wanted.specifier.contains(version, prereleases=True)
        ):
            return depth > 2 or all(_extra_holds(called, extra, depth) for extra in wanted.extras)
    return False


def _version(name: str) -> Version | None:
    try:
        return Version(importlib.metadata.version(name))
    except (importlib.metadata.PackageNotFoundError, InvalidVersion):
        return None


def _extra_holds(name: str, extra: str, depth: int) -> bool:
    """Whether what an extra adds is there."""
    for line in importlib.metadata.requires(name) or ():
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            continue
        if needed.marker.evaluate({"extra": extra}):
            needed.marker = None
            if not _holds(needed, depth + 1):
                return False
    return True
