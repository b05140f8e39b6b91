"""Verifications: whether a version still answers as it did when it was registered."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from tsavo.vocabulary.names import VersionRef

__all__ = ["Verdict", "Verification", "VerifiedPage"]

Verdict: TypeAlias = Literal["same", "within-tolerance", "changed", "breaks", "no-rows"]
"""``same``: bit by bit. ``changed``: beyond the tolerance. ``breaks``: no answers. ``no-rows``: nothing to compare."""


class Verification(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version's golden rows, answered again.

    Attributes
    ----------
    asked
        Who answered: the runtime that serves the version, or the original model.
    against
        With what the answers were compared: those of the serving runtime at registration (``prediction``), or those
        of the original model (``expected``).
    summary
        What was found, in one line.
    requirements
        Libraries that were asked for instead of the present ones, as ``name==version``.
    rows, differing, changed
        How many were compared; how many are not bit-equal; how many are beyond the tolerance.
    worst
        Output -> greatest absolute difference; ``None`` where that is no number.
    first
        The first rows beyond the tolerance: ``row``, ``inputs``, ``stored``, ``now``.
    libraries, python
        Distribution name -> version, and the Python version, of the process that answered.
    """

    version: VersionRef
    time: datetime
    by: str
    verdict: Verdict
    summary: str
    asked: Literal["runtime", "original"] = "runtime"
    against: Literal["prediction", "expected"] = "prediction"
    requirements: tuple[str, ...] = ()
    rows: int = 0
    differing: int = 0
    changed: int = 0
    worst: dict[str, float | None] = {}
    first: tuple[dict[str, Any], ...] = ()
    libraries: dict[str, str] = {}
    python: str = ""

    @property
    def fine(self) -> bool:
        """Whether the version still answers as it did, as far as anybody can tell."""
        return self.verdict not in ("changed", "breaks")


class VerifiedPage(msgspec.Struct, frozen=True):
    """Some versions of many, verified in order of model and number.

    Attributes
    ----------
    last
        Where to go on; ``None`` when these were the last.
    total
        How many versions there are in all, and `done` how many of them come up to here.
    """

    items: tuple[Verification, ...]
    last: VersionRef | None
    done: int
    total: int
