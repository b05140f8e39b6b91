"""Endpoints and their routes: the one thing that flows back to the gateways.

Every change of a route gets a revision, one higher than the last over the whole registry, and is kept; a gateway
asks for what is newer than what it has. The counter's row stays locked until the change is committed, so
revisions become visible in order and none is ever missed.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from tsavo.registry.paging import page_of
from tsavo.registry.tables import counters, endpoints, routes
from tsavo.storage import Connection
from tsavo.vocabulary import Conflict, NotFound, Page, Route, check_name

__all__ = [
    "changed_routes",
    "find_route",
    "get_route",
    "list_routes",
    "newest_revision",
    "route_history",
    "save_route",
]


def find_route(connection: Connection, endpoint: str) -> Route | None:
    """The present route of `endpoint`, or ``None``."""
    row = connection.execute(sa.select(endpoints.c.route).where(endpoints.c.name == endpoint)).one_or_none()
    return None if row is None else row.route


def get_route(connection: Connection, endpoint: str) -> Route:
    """The present route of `endpoint`; raise `NotFound` when there is none."""
    route = find_route(connection, endpoint)
    if route is None:
        raise NotFound(
            "there is no such endpoint",
            field="endpoint",
            found=endpoint,
            next_step="see 'tsavo ls' for what there is",
        )
    return route


def save_route(connection: Connection, route: Route) -> Route:
    """Keep `route` as its endpoint's present one, under a new revision.

    Parameters
    ----------
    route
        Its `revision` is the one that the change started from (0 for a new endpoint).

    Raises
    ------
    Conflict
        When the route was changed meanwhile.
    """
    check_name(route.endpoint, "endpoint")
    revision = _next_revision(connection)
    saved = msgspec.structs.replace(route, revision=revision)
    values = {
        "revision": revision,
        "route": saved,
        "model": saved.champion.model,
        "plugged": saved.plug is not None,
    }
    if route.revision == 0:
        if find_route(connection, route.endpoint) is not None:
            raise _changed_meanwhile(route.endpoint)
        connection.execute(endpoints.insert().values(name=route.endpoint, created=saved.changed, **values))
    else:
        mine = (endpoints.c.name == route.endpoint) & (endpoints.c.revision == route.revision)
        if connection.execute(endpoints.update().where(mine).values(values)).rowcount != 1:
            raise _changed_meanwhile(route.endpoint)
    connection.execute(
        routes.insert().values(revision=revision, endpoint=route.endpoint, route=saved, changed=saved.changed)
    )
    return saved


def list_routes(
    connection: Connection,
    *,
    search: str = "",
    model: str | None = None,
    plugged: bool | None = None,
    order: Literal["name", "newest"] = "name",
    offset: int = 0,
    limit: int = 50,
) -> Page[Route]:
    """Present routes, by endpoint name or newest change first."""
    query = sa.select(endpoints.c.route)
    if search:
        query = query.where(endpoints.c.name.contains(search, autoescape=True))
    if model is not None:
        query = query.where(endpoints.c.model == model)
    if plugged is not None:
        query = query.where(endpoints.c.plugged == plugged)
    query = query.order_by(endpoints.c.name if order == "name" else endpoints.c.revision.desc())
    return page_of(connection, query, _route, offset=offset, limit=limit)


def route_history(connection: Connection, endpoint: str, *, offset: int = 0, limit: int = 50) -> Page[Route]:
    """All routes that `endpoint` ever had, newest first."""
    query = sa.select(routes.c.route).where(routes.c.endpoint == endpoint).order_by(routes.c.revision.desc())
    return page_of(connection, query, _route, offset=offset, limit=limit)


def changed_routes(connection: Connection, after: int, *, limit: int = 2000) -> list[Route]:
    """Present routes with a revision above `after`, in order of revision."""
    query = sa.select(endpoints.c.route).where(endpoints.c.revision > after)
    return [row.route for row in connection.execute(query.order_by(endpoints.c.revision).limit(limit))]


def newest_revision(connection: Connection) -> int:
    """The revision of the latest change anywhere; 0 when there was none."""
    newest = sa.select(sa.func.coalesce(sa.func.max(endpoints.c.revision), 0))
    return int(connection.execute(newest).scalar_one())


def _next_revision(connection: Connection) -> int:
    counted = (
        counters.update()
        .where(counters.c.name == "route_revision")
        .values(value=counters.c.value + 1)
        .returning(counters.c.value)
    )
    return int(connection.execute(counted).scalar_one())


def _route(row: sa.Row[Any]) -> Route:
    route: Route = row.route
    return route


def _changed_meanwhile(endpoint: str) -> Conflict:
    return Conflict(
        "the endpoint's route was changed meanwhile",
        field="endpoint",
        found=endpoint,
        next_step="look at it with 'tsavo show' and try again",
    )
