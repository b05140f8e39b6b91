"""What the data plane keeps of a route, so that a request does not have to work it out."""

from __future__ import annotations

from typing import Final

import msgspec

from tsavo.vocabulary import Challenger, Member, Overloaded, Route, VersionRef

__all__ = ["Lane"]

_BY_COLUMN: Final = "column:"
_RETRY_SECONDS: Final = 1.0


class _Occupancy(msgspec.Struct):
    """How many requests are worked on; route changes do not begin to count anew."""

    busy: int = 0


class Lane:
    """One endpoint's route, taken apart.

    Parameters
    ----------
    before
        The lane that it takes the place of, whose members and counts go on.
    concurrent
        Most requests at the same time where the route does not say.

    Attributes
    ----------
    plain
        One version answers all rows and may take its time: the shortest way through the data plane.
    shares, sharers
        Challengers that answer a share of the requests, and their shares in the same order.
    column
        The column by whose values traffic is divided, when it is divided by one.
    members
        Segments of a family by the text of their value.
    """

    __slots__ = (
        "_occupancy",
        "column",
        "concurrent",
        "members",
        "plain",
        "route",
        "seconds",
        "shadows",
        "sharers",
        "shares",
    )

    def __init__(self, route: Route, before: Lane | None, *, concurrent: int) -> None:
        self.route = route
        self._occupancy: _Occupancy = _Occupancy() if before is None else before._occupancy
        self.members: dict[str, Member] = {} if before is None else before.members
        sharing = [challenger for challenger in route.challengers if challenger.mode == "share"]
        self.shadows: tuple[Challenger, ...] = tuple(c for c in route.challengers if c.mode == "shadow")
        self.shares: tuple[float, ...] = tuple(challenger.share for challenger in sharing)
        self.sharers: tuple[VersionRef, ...] = tuple(challenger.version for challenger in sharing)
        by = route.split.by
        self.column = by.removeprefix(_BY_COLUMN) if by.startswith(_BY_COLUMN) else None
        limits = route.limits
        self.concurrent = concurrent if limits.concurrent is None else limits.concurrent
        self.seconds = None if limits.milliseconds is None else limits.milliseconds / 1000
        self.plain = not (sharing or route.guard) and route.segments is None and self.seconds is None

    def enter(self) -> None:
        """Count a request; raise `Overloaded` where this endpoint has as many as it may."""
        occupancy = self._occupancy
        if occupancy.busy >= self.concurrent:
            raise Overloaded(
                f"endpoint '{self.route.endpoint}' is working on as many requests as it may",
                field="endpoint",
                found=f"{occupancy.busy} requests",
                expected=f"at most {self.concurrent} at the same time",
                next_step="try again after the stated time",
                retry_after=_RETRY_SECONDS,
            )
        occupancy.busy += 1

    def leave(self) -> None:
        """Count the request no longer."""
        self._occupancy.busy -= 1

    def split_key(self, request: str, key: str, caller: str) -> str:
        """By what a whole request is assigned; its id where the caller sent nothing to go by."""
        by = self.route.split.by
        if by == "key":
            return key or request
        if by == "caller":
            return caller or request
        return request
