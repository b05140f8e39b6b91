"""The routes that a gateway worker follows, and which versions they name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tsavo.endpoints.lanes import Lane
from tsavo.endpoints.shelf import VersionShelf
from tsavo.vocabulary import Member, NotFound, Route, VersionRef

__all__ = ["RouteTable"]


class RouteTable:
    """Every endpoint's lane, by its name.

    Parameters
    ----------
    shelf
        Told what to keep in memory, and what nothing names any more.
    concurrent
        Most requests of one endpoint at the same time where its route does not say.
    """

    def __init__(self, shelf: VersionShelf, *, concurrent: int) -> None:
        self._shelf = shelf
        self._concurrent = concurrent
        self._lanes: dict[str, Lane] = {}
        self._coming: dict[str, Route] = {}
        # How many routes and members name a version, and those that some route named before. Counted, because looking
        # through ten thousand routes at each change would hold up the requests.
        self._named: Counter[VersionRef] = Counter()
        self._once_named: set[VersionRef] = set()

    def __len__(self) -> int:
        """How many endpoints there are."""
        return len(self._lanes)

    def __contains__(self, endpoint: str) -> bool:
        """Whether there is such an endpoint."""
        return endpoint in self._lanes

    def names(self) -> Iterable[str]:
        """Of all endpoints."""
        return self._lanes.keys()

    def lane(self, endpoint: str) -> Lane:
        """The lane of `endpoint`; raise `NotFound` when there is none."""
        lane = self._lanes.get(endpoint)
        if lane is None:
            raise NotFound(
                "there is no such endpoint",
                field="endpoint",
                found=endpoint,
                next_step="see 'tsavo ls' for what there is, or make one with 'tsavo deploy'",
            )
        return lane

    def routes(self) -> list[Route]:
        """The routes of all endpoints, as they are now."""
        return [lane.route for lane in self._lanes.values()]

    def announce(self, routes: Iterable[Route]) -> None:
        """These routes are about to be followed: what they name is not forgotten."""
        for route in routes:
            before = self._coming.get(route.endpoint)
            self._coming[route.endpoint] = route
            self._name(route)
            if before is not None:
                self._unname(before)

    def apply(self, routes: Iterable[Route], members: Iterable[Member] = ()) -> None:
        """Follow these from the next request on. What is already known at a newer revision stays."""
        for route in routes:
            present = self._lanes.get(route.endpoint)
            if present is None or present.route.revision < route.revision:
                self._lanes[route.endpoint] = Lane(route, present, concurrent=self._concurrent)
                self._name(route)
                if present is not None:
                    self._unname(present.route)
            coming = self._coming.get(route.endpoint)
            if coming is not None and coming.revision <= route.revision:
                del self._coming[route.endpoint]
                self._unname(coming)
        for member in members:
            # Its family has an earlier revision, and was read before it.
            lane = self._lanes.get(member.endpoint)
            if lane is not None:
                self._follow(lane, member)

    def forget_unused(self) -> None:
        """Let go of versions that nothing names any more."""
        self._shelf.forget(ref for ref in self._once_named if ref not in self._named)
        self._once_named.clear()

    def _follow(self, lane: Lane, member: Member) -> None:
        before = lane.members.get(member.segment)
        if before is not None and before.revision >= member.revision:
            return
        lane.members[member.segment] = member
        if member.version is not None:
            self._named[member.version] += 1
        if before is not None and before.version is not None:
            self._count_down(before.version)

    def _name(self, route: Route) -> None:
        for ref in route.versions():
            self._named[ref] += 1
            if route.warm:
                self._shelf.keep(ref)

    def _unname(self, route: Route) -> None:
        for ref in route.versions():
            self._count_down(ref)
            if route.warm:
                self._shelf.keep_no_longer(ref)

    def _count_down(self, ref: VersionRef) -> None:
        self._named[ref] -= 1
        if not self._named[ref]:
            del self._named[ref]
            self._once_named.add(ref)
