"""Endpoints and their routes: the one thing that flows back to the gateways.

Every change of a route gets a revision, one higher than the last over the whole registry, and is kept; a gateway
asks for what is newer than what it has. The counter's row stays locked until the change is committed, so
revisions become visible in order and none is ever missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

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
    "next_revision",
    "route_history",
    "routes_by_model",
    "routes_of",
    "save_route",
]


# Names in one question to the database; both engines take many more.
_AT_ONCE: Final = 5_000


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
    revision = next_revision(connection)
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
    key = endpoints.c.name if order == "name" else endpoints.c.revision
    query = query.order_by(key if order == "name" else key.desc())
    return page_of(connection, query, _route, offset=offset, limit=limit, key=key)


def routes_of(connection: Connection, names: Iterable[str]) -> list[Route]:
    """Present routes of those of these endpoints that exist, by name."""
    wanted = sorted(set(names))
    found: list[Route] = []
    for start in range(0, len(wanted), _AT_ONCE):
        query = sa.select(endpoints.c.route).where(endpoints.c.name.in_(wanted[start : start + _AT_ONCE]))
        found.extend(row.route for row in connection.execute(query.order_by(endpoints.c.name)))
    return found


def routes_by_model(connection: Connection, models: Sequence[str], *, limit: int) -> dict[str, Page[Route]]:
    """For each of `models` the first routes, by endpoint name, that it is the champion of."""
    mine = (endpoints.c.model, endpoints.c.name, endpoints.c.route)
    place = sa.func.row_number().over(partition_by=endpoints.c.model, order_by=endpoints.c.name)
    total = sa.func.count().over(partition_by=endpoints.c.model)
    numbered = sa.select(*mine, place.label("place"), total.label("total")).where(
        endpoints.c.model.in_(models)
    )
    table = numbered.subquery()
    query = sa.select(table.c.model, table.c.route, table.c.total).where(table.c.place <= limit)
    items: dict[str, list[Route]] = {model: [] for model in models}
    totals = dict.fromkeys(models, 0)
    for row in connection.execute(query.order_by(table.c.model, table.c.place)):
        items[row.model].append(row.route)
        totals[row.model] = row.total
    return {model: Page(tuple(items[model]), totals[model], 0, limit) for model in models}


def route_history(connection: Connection, endpoint: str, *, offset: int = 0, limit: int = 50) -> Page[Route]:
    """All routes that `endpoint` ever had, newest first."""
    query = sa.select(routes.c.route).where(routes.c.endpoint == endpoint).order_by(routes.c.revision.desc())
    return page_of(connection, query, _route, offset=offset, limit=limit)


def changed_routes(connection: Connection, after: int, *, limit: int = 2000) -> list[Route]:
    """Present routes with a revision above `after`, in order of revision."""
    query = sa.select(endpoints.c.route).where(endpoints.c.revision > after)
    return [row.route for row in connection.execute(query.order_by(endpoints.c.revision).limit(limit))]


def newest_revision(connection: Connection) -> int:
    """The revision of the latest change of a route or a member anywhere; 0 when there was none."""
    newest = sa.select(counters.c.value).where(counters.c.name == "route_revision")
    return int(connection.execute(newest).scalar_one())


def next_revision(connection: Connection, count: int = 1) -> int:
    """Take `count` revisions and return the last; others who want one wait until this transaction is over."""
    counted = (
        counters.update()
        .where(counters.c.name == "route_revision")
        .values(value=counters.c.value + count)
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
