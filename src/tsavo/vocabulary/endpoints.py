"""Endpoints and routes: which version answers, who looks over its shoulder, and what takes over."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from tsavo.vocabulary.names import VersionRef
from tsavo.vocabulary.privacy import Privacy

__all__ = [
    "Challenger",
    "Condition",
    "ConstantFallback",
    "Drill",
    "Fallback",
    "Limits",
    "Member",
    "Plug",
    "Retention",
    "Role",
    "Route",
    "Rule",
    "RulesFallback",
    "Segments",
    "Split",
    "VersionFallback",
]

Role: TypeAlias = Literal["champion", "challenger", "shadow", "fallback", "pinned"]
"""``champion``: of the endpoint, or of a row's segment. ``challenger``: answered its share of the traffic."""


class VersionFallback(msgspec.Struct, frozen=True, tag="version"):
    """Another version takes over."""

    version: VersionRef


class ConstantFallback(msgspec.Struct, frozen=True, tag="constant"):
    """Every row gets the same outputs: output name -> value (a list for a wide output)."""

    outputs: dict[str, Any]


class Condition(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a row must have in one column; what is not said here does not matter.

    Attributes
    ----------
    at_least, below
        Bounds of a number: ``at_least <= value < below``. A missing value is within no bounds.
    one_of
        The values that it may have.
    missing
        Whether the value must be missing (true) or must not be (false).
    """

    column: str
    at_least: float | None = None
    below: float | None = None
    one_of: tuple[str | int | float | bool, ...] | None = None
    missing: bool | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that meet all conditions get these outputs."""

    when: tuple[Condition, ...]
    outputs: dict[str, Any]


class RulesFallback(msgspec.Struct, frozen=True, tag="rules"):
    """A rule table: the first rule whose conditions a row meets gives its outputs, else `otherwise` does."""

    rules: tuple[Rule, ...]
    otherwise: dict[str, Any]


Fallback: TypeAlias = VersionFallback | ConstantFallback | RulesFallback


class Challenger(msgspec.Struct, frozen=True):
    """A version beside the champion.

    Attributes
    ----------
    mode
        ``shadow``: it scores the same requests after the answer went out, and never changes an answer. ``share``: it
        answers a share of the requests itself.
    share
        Of the requests, above 0 and at most 1; 0 for shadows. The champion answers the rest.
    """

    version: VersionRef
    mode: Literal["shadow", "share"] = "shadow"
    share: float = 0.0


class Split(msgspec.Struct, frozen=True):
    """How requests are divided between the champion and challengers that have a share.

    Attributes
    ----------
    by
        ``request``: every request anew, by its id. ``key``: by the key that a caller sends with a request. ``caller``:
        by the caller. ``column:NAME``: every row by its value in that input column. Equal keys are answered by the
        same version as long as shares and seed stay.
    seed
        Together with the key it decides, so that a recorded decision shows why it went where it went.
    """

    by: str = "request"
    seed: int = 0


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one endpoint may take of a gateway worker.

    Attributes
    ----------
    milliseconds
        After so much time without an answer of a version, the fallback chain answers.
    concurrent
        So many requests are worked on at the same time; more are turned away with ``Retry-After``.
    """

    milliseconds: int | None = None
    concurrent: int | None = None


class Retention(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long decisions and outcomes are kept; ``None`` is as the settings say.

    Attributes
    ----------
    keep_days
        Rows that are older are deleted; 0 keeps them for ever.
    at_least_days
        Rows that are younger are never deleted.
    """

    keep_days: int | None = None
    at_least_days: int | None = None

    def within(self, everywhere: Retention) -> Retention:
        """What holds for an endpoint that says this, where the settings say `everywhere`.

        >>> Retention(keep_days=30).within(Retention(365, 90))
        Retention(keep_days=90, at_least_days=90)
        """
        floor = max(self.at_least_days or 0, everywhere.at_least_days or 0)
        keep = (everywhere.keep_days if self.keep_days is None else self.keep_days) or 0
        return Retention(max(keep, floor) if keep else 0, floor)


class Segments(msgspec.Struct, frozen=True):
    """What makes an endpoint a family: a version for each value of a column.

    Attributes
    ----------
    key
        The column that chooses. When the versions do not take it as an input, callers send it beside the inputs.
    dtype
        Of that column.
    unseen
        What happens to rows of a segment without a version: the ``parent``, which is the route's champion, answers, or
        the request is a ``refuse``.
    """

    key: str
    dtype: Literal["string", "int64"] = "string"
    unseen: Literal["parent", "refuse"] = "parent"


class Plug(msgspec.Struct, frozen=True):
    """The champion is switched off, by whom, when and why."""

    by: str
    time: datetime
    why: str = ""


class Drill(msgspec.Struct, frozen=True):
    """A fire drill: for a while, every step of the fallback chain is tried on copies of live requests.

    Attributes
    ----------
    requests
        Each gateway worker tries so many, and then no more.
    started, until
        It ends at `until`, however many requests came.
    """

    id: str
    requests: int
    until: datetime
    by: str
    started: datetime


class Member(msgspec.Struct, frozen=True):
    """One segment of a family.

    Attributes
    ----------
    segment
        The key's value; whole numbers as their decimal digits.
    version
        What answers for it; ``None`` when the segment was taken out and the parent answers.
    revision
        As of a route: grows with every change in the registry.
    """

    endpoint: str
    segment: str
    version: VersionRef | None
    revision: int
    plug: Plug | None = None
    changed: datetime | None = None
    changed_by: str = ""
    why: str = ""


class Route(msgspec.Struct, frozen=True):
    """What an endpoint does with a request at one revision.

    Attributes
    ----------
    revision
        Grows by one over the whole registry with every route change; a gateway asks for what is newer.
    fallback
        Tried in order when the plug is pulled or the champion fails.
    segments
        Makes it a family, whose members are kept beside the route because there may be thousands.
    guard
        Rows that lack a value which the champion needs are answered by the fallback chain; without it, the request is
        refused.
    warm
        What it names is loaded when a gateway starts, and never let go of to make room for others.
    drill
        The last fire drill, under way or over.
    retention
        How long its decisions and outcomes are kept.
    privacy
        Which of its inputs are personal, and sealed where they are recorded; ``None`` when none is.
    """

    endpoint: str
    revision: int
    champion: VersionRef
    challengers: tuple[Challenger, ...] = ()
    fallback: tuple[Fallback, ...] = ()
    plug: Plug | None = None
    changed: datetime | None = None
    changed_by: str = ""
    why: str = ""
    split: Split = Split()
    limits: Limits = Limits()
    segments: Segments | None = None
    warm: bool = False
    guard: bool = False
    drill: Drill | None = None
    retention: Retention = Retention()
    privacy: Privacy | None = None

    def versions(self) -> set[VersionRef]:
        """Every version that this route itself can call on; members of a family come on top."""
        named = {self.champion, *(challenger.version for challenger in self.challengers)}
        return named | {step.version for step in self.fallback if isinstance(step, VersionFallback)}

    def numbered(self, number: int) -> VersionRef | None:
        """The version of this number among `versions`; the champion's own model goes first."""
        found = [ref for ref in self.versions() if ref.number == number]
        return min(found, key=lambda ref: (ref.model != self.champion.model, ref.model), default=None)
