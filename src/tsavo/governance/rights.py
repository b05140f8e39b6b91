"""Who may do what.

Every control route declares the right it needs. Until accounts come, whoever reaches the loopback address of an
installation is its one owner and holds all rights; the name is kept for the audit trail.
"""

from __future__ import annotations

import enum

import msgspec

from tsavo.vocabulary import Forbidden

__all__ = ["Principal", "Right", "local_owner", "require"]


class Right(enum.StrEnum):
    """One kind of thing that can be done on the control plane."""

    READ = "read"
    QUERY = "query"
    REGISTER = "register"
    TRUST = "trust"
    DEPLOY = "deploy"
    PLUG = "plug"
    OUTCOMES = "outcomes"
    ALERTS = "alerts"
    PRIVACY = "privacy"


class Principal(msgspec.Struct, frozen=True):
    """Somebody who acts, and what they may do."""

    name: str
    rights: frozenset[Right]


def local_owner(name: str) -> Principal:
    """The one owner of an installation without accounts."""
    return Principal(name, frozenset(Right))


def require(who: Principal, right: Right) -> None:
    """Raise `Forbidden` unless `who` holds `right`.

    >>> require(Principal("eve", frozenset({Right.READ})), Right.PLUG)
    Traceback (most recent call last):
    tsavo.vocabulary.errors.Forbidden: eve may not do this (expected: the right 'plug'). Next: ...
    """
    if right not in who.rights:
        raise Forbidden(
            f"{who.name} may not do this",
            expected=f"the right '{right.value}'",
            next_step="ask the owner of this installation",
        )
