"""Verifying: whether versions still answer as they did when they were registered.

A version's golden rows are answered again by what serves it now, or by the original model beside other libraries. Every
model is read in a worker process; a version that cannot be asked any more is a finding, not an error.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.formats.needed_libraries import needed_libraries, perhaps_needed, pinned
from tsavo.governance import Principal, Right, require
from tsavo.registry import add_verification, get_version, versions_after
from tsavo.runtimes import Lock, VerifyItem, VerifyJob, ask_again, holding
from tsavo.runtimes.requirements import checked
from tsavo.runtimes.verify_jobs import Found, Side, VerifyAnswer
from tsavo.vocabulary import Golden, Invalid, TsavoError, Verification, VerifiedPage, Version, VersionRef

__all__ = ["verify", "verify_next"]

# A page is what a caller waits for in one request: an original costs seconds, a compiled model milliseconds.
_PAGE_COST: Final = 50
_ORIGINAL_COST: Final = 10
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def verify(
    plane: ControlPlane, who: Principal, ref: VersionRef, requirements: Sequence[str] = ()
) -> Verification:
    """Verify one version, and keep what was found.

    Parameters
    ----------
    requirements
        Libraries such as ``scikit-learn==1.7.2``: the original is asked beside these instead, and compared with what it
        said at registration.

    Raises
    ------
    NotFound
        When there is no such version.
    Invalid
        When the libraries are not written as in a requirements file.
    Unavailable
        When an environment with these libraries cannot be made now.
    """
    require(who, Right.REGISTER)
    wanted = tuple(checked(requirements))
    with plane.database.read() as connection:
        version = get_version(connection, ref)
    return _verified(plane, who, [version], wanted)[0]


def verify_next(
    plane: ControlPlane,
    who: Principal,
    after: VersionRef | None,
    *,
    model: str | None = None,
    requirements: Sequence[str] = (),
) -> VerifiedPage:
    """Verify the next few versions, in order of model and number, and keep what was found.

    Parameters
    ----------
    after
        The `last` of the page before.
    model
        Versions of this model only.

    Raises
    ------
    Invalid, Unavailable
        As `verify`.
    """
    require(who, Right.REGISTER)
    wanted = tuple(checked(requirements))
    with plane.database.read() as connection:
        versions, before, total = versions_after(connection, after, model=model, limit=_PAGE_COST)
    page = _affordable(versions, wanted)
    found = _verified(plane, who, page, wanted)
    done = before + len(page)
    return VerifiedPage(
        items=tuple(found), last=page[-1].ref if page and done < total else None, done=done, total=total
    )


def _affordable(versions: list[Version], requirements: tuple[str, ...]) -> list[Version]:
    """As many of the versions as one page may cost; at least one."""
    cost = 0
    page: list[Version] = []
    for version in versions:
        cost += 1 if _is_compiled(version, requirements) else _ORIGINAL_COST
        if page and cost > _PAGE_COST:
            break
        page.append(version)
    return page


def _is_compiled(version: Version, requirements: tuple[str, ...]) -> bool:
    return version.runtime == "onnx" and not requirements


class _Asked(msgspec.Struct, frozen=True):
    """What became of one version, and beside which libraries."""

    found: Found
    libraries: dict[str, str] = {}
    python: str = ""


def _verified(
    plane: ControlPlane, who: Principal, versions: list[Version], requirements: tuple[str, ...]
) -> list[Verification]:
    asked: dict[VersionRef, _Asked] = {}
    for version in versions:
        trouble = _trouble(plane, version)
        if trouble is not None:
            asked[version.ref] = _Asked(trouble)
    left = [version for version in versions if version.ref not in asked]
    compiled = [version for version in left if _is_compiled(version, requirements)]
    asked |= zip([version.ref for version in compiled], _ask_together(plane, compiled), strict=True)
    for version in left:
        if version.ref not in asked:
            asked[version.ref] = _ask_original(plane, version, requirements)
    return [_kept(plane, who, version, asked[version.ref], requirements) for version in versions]


def _ask_together(plane: ControlPlane, versions: list[Version]) -> list[_Asked]:
    """Ask compiled versions in one worker process; where it dies of one of them, each in a process of its own."""
    if not versions:
        return []
    try:
        answer = ask_again(VerifyJob(tuple(_item(plane, version) for version in versions)), plane.work)
    except TsavoError as error:
        if len(versions) == 1:
            return [_Asked(Found("breaks", str(error)))]
        return [asked for version in versions for asked in _ask_together(plane, [version])]
    return _asked(answer)


def _asked(answer: VerifyAnswer) -> list[_Asked]:
    return [_Asked(found, answer.libraries, answer.python) for found in answer.found]


def _ask_original(plane: ControlPlane, version: Version, requirements: tuple[str, ...]) -> _Asked:
    """Ask the source in its own framework, in the kind of process that serves such versions."""
    if not requirements:
        if version.environment is None:
            return _ask_under(plane, version, Path(sys.executable), "prediction")
        try:
            text = plane.artifacts.get(version.environment.lock).decode()
            lock = Lock.of(text, version.environment.python)
            return _ask_beside(plane, version, lock, "prediction")
        except TsavoError as error:
            return _Asked(Found("breaks", str(error)))
    if version.lineage.framework.startswith("onnx"):
        return _Asked(Found("no-rows", "it came as ONNX, which none of these libraries has a say in"))
    libraries, perhaps = needed_libraries(version), perhaps_needed(version)
    while True:
        try:
            lock = _lock(plane, version, requirements, libraries)
        except Invalid as error:
            return _Asked(Found("breaks", str(error)))
        asked = _ask_beside(plane, version, lock, "expected")
        missed = [name for name in perhaps if name not in libraries and _names(asked.found, name)]
        if not missed:
            return asked
        libraries |= {name: perhaps[name] for name in missed}


def _names(found: Found, library: str) -> bool:
    """Whether an answer that did not come says that it wants this library."""
    return found.verdict == "breaks" and library.removesuffix("-cpu") in found.summary


def _ask_beside(plane: ControlPlane, version: Version, lock: Lock, against: Side) -> _Asked:
    asked = _ask_under(plane, version, plane.environments.ensure(lock), against)
    return msgspec.structs.replace(asked, libraries=pinned(lock.requirements), python=lock.python)


def _ask_under(plane: ControlPlane, version: Version, python: Path, against: Side) -> _Asked:
    item = msgspec.structs.replace(
        _item(plane, version),
        runtime="python",
        model=plane.artifacts.path(version.lineage.source_digest).resolve(),
        against=against,
    )
    try:
        with holding(
            python, item.model, item.format, item.hints, trusted=item.trusted, work=plane.work
        ) as connection:
            return _asked(ask_again(VerifyJob((item,), remote=connection.fileno()), plane.work))[0]
    except TsavoError as error:
        return _Asked(Found("breaks", str(error)))


def _lock(
    plane: ControlPlane, version: Version, requirements: tuple[str, ...], libraries: dict[str, str]
) -> Lock:
    """An environment with `requirements`, and with `libraries` as they were, for these are not the question.

    Where that does not go together, the other libraries follow.
    """
    asked = {_name(line) for line in requirements}
    others = {name: found for name, found in libraries.items() if _name(name) not in asked}
    python = version.environment.python if version.environment else version.lineage.python or None
    try:
        return plane.environments.lock(
            [*requirements, *(f"{name}=={found}" for name, found in others.items())], python
        )
    except Invalid:
        return plane.environments.lock([*requirements, *others], python)


def _name(requirement: str) -> str:
    """The distribution that a requirement is about; builds for processors alone are the same one."""
    found = _NAME.match(requirement.strip())
    return "" if found is None else re.sub(r"[-_.]+", "-", found[0]).lower().removesuffix("-cpu")


def _item(plane: ControlPlane, version: Version) -> VerifyItem:
    golden: Golden = version.golden  # type: ignore[assignment] # those without are not asked
    return VerifyItem(
        runtime=version.runtime,
        model=plane.artifacts.path(version.artifact).resolve(),
        format=version.lineage.source_format,
        trusted=version.lineage.trusted_by is not None,
        hints=version.hints,
        signature=version.signature,
        golden=plane.artifacts.path(golden.digest).resolve(),
    )


def _trouble(plane: ControlPlane, version: Version) -> Found | None:
    """Why a version cannot be asked at all."""
    if version.golden is None:
        return Found("no-rows", "it was registered before golden rows were kept")
    try:
        for digest in (version.golden.digest, version.artifact, version.lineage.source_digest):
            plane.artifacts.verify(digest)
    except TsavoError as error:
        return Found("breaks", str(error))
    return None


def _kept(
    plane: ControlPlane, who: Principal, version: Version, asked: _Asked, requirements: tuple[str, ...]
) -> Verification:
    found = asked.found
    verification = Verification(
        version=version.ref,
        time=plane.clock.now(),
        by=who.name,
        verdict=found.verdict,
        summary=found.summary,
        asked="original" if requirements else "runtime",
        against="expected" if requirements else "prediction",
        requirements=requirements,
        rows=found.rows,
        differing=found.differing,
        changed=found.changed,
        worst=found.worst,
        first=found.first,
        libraries=asked.libraries,
        python=asked.python,
    )
    with plane.database.begin() as connection:
        add_verification(connection, verification)
    return verification
