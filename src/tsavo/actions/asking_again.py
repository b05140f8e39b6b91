"""Asking versions, in fresh worker processes, what was recorded: for replays and back-tests."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tsavo.actions.control_plane import ControlPlane
from tsavo.registry import get_version
from tsavo.runtimes import Lock, holding
from tsavo.runtimes.jobs import AskedVersion
from tsavo.runtimes.scoring_again import Asking, Outputs, score_again
from tsavo.vocabulary import Batch, TsavoError, Version, VersionRef

__all__ = ["score_recorded"]


def score_recorded(
    plane: ControlPlane, batches: Mapping[VersionRef, Sequence[Batch]]
) -> dict[VersionRef, tuple[Version | None, list[Outputs]]]:
    """What versions answer to batches in terms of their signatures, in fresh worker processes.

    A version that cannot be asked gives the reason for each batch.
    """
    found: dict[VersionRef, tuple[Version | None, list[Outputs]]] = {}
    compiled: list[tuple[Version, Sequence[Batch]]] = []
    for ref, asked in batches.items():
        try:
            with plane.database.read() as connection:
                version = get_version(connection, ref)
            for digest in (version.artifact, version.lineage.source_digest):
                plane.artifacts.verify(digest)
        except TsavoError as error:
            found[ref] = (None, [str(error)] * len(asked))
            continue
        if version.runtime == "onnx":
            compiled.append((version, asked))
        else:
            found[ref] = (version, _ask_python(plane, version, asked))
    for (version, _), outputs in zip(compiled, _ask_compiled(plane, compiled), strict=True):
        found[version.ref] = (version, outputs)
    return found


def _ask_compiled(
    plane: ControlPlane, versions: Sequence[tuple[Version, Sequence[Batch]]]
) -> list[list[Outputs]]:
    """Ask compiled versions in one worker process; where it dies of one of them, each in a process of its own."""
    if not versions:
        return []
    try:
        return score_again([_asking(plane, version, asked) for version, asked in versions], plane.work)
    except TsavoError as error:
        if len(versions) == 1:
            return [[str(error)] * len(versions[0][1])]
        return [outputs for one in versions for outputs in _ask_compiled(plane, [one])]


def _ask_python(plane: ControlPlane, version: Version, batches: Sequence[Batch]) -> list[Outputs]:
    """Ask the source in its own framework, in the kind of process that serves such versions."""
    try:
        python = Path(sys.executable)
        if version.environment is not None:
            text = plane.artifacts.get(version.environment.lock).decode()
            python = plane.environments.ensure(Lock.of(text, version.environment.python))
        asking = _asking(plane, version, batches)
        asked = asking.version
        with holding(
            python, asked.model, asked.format, asked.hints, trusted=asked.trusted, work=plane.work
        ) as connection:
            return score_again([asking], plane.work, remote=connection.fileno())[0]
    except TsavoError as error:
        return [str(error)] * len(batches)


def _asking(plane: ControlPlane, version: Version, batches: Sequence[Batch]) -> Asking:
    lineage = version.lineage
    asked = AskedVersion(
        runtime=version.runtime,
        model=plane.artifacts.path(version.artifact).resolve(),
        format=lineage.source_format,
        trusted=lineage.trusted_by is not None,
        hints=version.hints,
        signature=version.signature,
    )
    return Asking(asked, batches)
