"""Endpoints and routes: which version answers, who looks over its shoulder, and what takes over."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from tsavo.vocabulary.names import VersionRef

__all__ = ["Challenger", "ConstantFallback", "Fallback", "Plug", "Role", "Route", "VersionFallback"]

Role: TypeAlias = Literal["champion", "shadow", "fallback", "pinned"]


class VersionFallback(msgspec.Struct, frozen=True, tag="version"):
    """Another version takes over."""

    version: VersionRef


class ConstantFallback(msgspec.Struct, frozen=True, tag="constant"):
    """Every row gets the same outputs: output name -> value (a list for a wide output)."""

    outputs: dict[str, Any]


Fallback: TypeAlias = VersionFallback | ConstantFallback


class Challenger(msgspec.Struct, frozen=True):
    """A version that scores the same requests after the answer went out; it never changes an answer."""

    version: VersionRef
    mode: Literal["shadow"] = "shadow"


class Plug(msgspec.Struct, frozen=True):
    """The champion is switched off, by whom, when and why."""

    by: str
    time: datetime
    why: str = ""


class Route(msgspec.Struct, frozen=True):
    """What an endpoint does with a request at one revision.

    Attributes
    ----------
    revision
        Grows by one over the whole registry with every route change; a gateway asks for what is newer.
    fallback
        Tried in order when the plug is pulled or the champion fails.
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

    def versions(self) -> set[VersionRef]:
        """Every version that this route can call on."""
        named = {self.champion, *(challenger.version for challenger in self.challengers)}
        return named | {step.version for step in self.fallback if isinstance(step, VersionFallback)}

    def numbered(self, number: int) -> VersionRef | None:
        """The version of this number among `versions`; the champion's own model goes first."""
        found = [ref for ref in self.versions() if ref.number == number]
        return min(found, key=lambda ref: (ref.model != self.champion.model, ref.model), default=None)
