"""What replaying decisions finds: whether a version still answers a recorded request as it did then."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from tsavo.vocabulary.endpoints import Role
from tsavo.vocabulary.names import VersionRef

__all__ = ["Replay", "ReplayPage", "ReplayVerdict"]

ReplayVerdict: TypeAlias = Literal[
    "same", "within-tolerance", "changed", "breaks", "not-a-model", "incomplete", "erased"
]


class Replay(msgspec.Struct, frozen=True):
    """Rows of one request, asked of their version again in the batch in which they were asked.

    Attributes
    ----------
    request, rows
        The decisions are ``<request>:<row>``.
    verdict
        ``same``: every output is equal to the last bit. ``within-tolerance``: some differ, by less than what
        registration allows between a model and its compiled form. ``changed``: some differ by more. ``breaks``: the
        version did not answer. ``not-a-model``: a constant or a rule table had answered. ``incomplete``: some rows of
        the batch are not kept any more. ``erased``: it cannot be asked, because somebody whose data it is was erased.
    differing, changed
        Rows that differ at all, and by more than the tolerance.
    worst
        Output -> greatest absolute difference; ``None`` when it is no finite number.
    first
        Of the first rows that differ: ``row``, ``inputs``, ``recorded``, ``now``.
    runtime_then, runtime_now
        Digests of what scored; the first is empty for decisions of releases that did not keep it.
    apart
        How the runtimes differ: name -> what was then, what is now. ``None`` when that is not known.
    """

    request: str
    rows: tuple[int, ...]
    time: datetime
    endpoint: str
    version: VersionRef
    role: Role
    verdict: ReplayVerdict
    summary: str
    differing: int = 0
    changed: int = 0
    worst: dict[str, float | None] = {}
    first: tuple[dict[str, Any], ...] = ()
    runtime_then: str = ""
    runtime_now: str = ""
    apart: dict[str, tuple[Any, Any]] | None = None

    @property
    def fine(self) -> bool:
        """Whether it says nothing against the version."""
        return self.verdict in {"same", "not-a-model", "erased"}


class ReplayPage(msgspec.Struct, frozen=True):
    """What became of the requests of one page.

    Attributes
    ----------
    counts
        Verdict -> decisions.
    items
        Those that are not ``same``.
    last
        Go on behind this request; ``None`` at the end.
    """

    counts: dict[ReplayVerdict, int]
    items: tuple[Replay, ...]
    last: str | None
