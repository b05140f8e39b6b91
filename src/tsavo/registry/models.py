"""Models by name."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tsavo.registry.paging import page_of
from tsavo.registry.tables import models
from tsavo.storage import Connection
from tsavo.vocabulary import Brief, Conflict, Model, NotFound, Page, check_name

__all__ = ["add_model", "find_model", "get_model", "list_models", "update_brief"]


def add_model(connection: Connection, model: Model) -> None:
    """Add a model that does not exist yet; raise `Conflict` when it does."""
    check_name(model.name, "model")
    values = {"name": model.name, "owner": model.owner, "brief": model.brief, "created": model.created}
    try:
        connection.execute(models.insert().values(newest=0, **values))
    except sa.exc.IntegrityError as error:
        raise Conflict(
            "there is a model of this name already",
            field="model",
            found=model.name,
            expected="a name that is not taken",
            next_step="if somebody registered it at this very moment, try again",
        ) from error


def find_model(connection: Connection, name: str) -> Model | None:
    """The model called `name`, or ``None``."""
    row = connection.execute(sa.select(models).where(models.c.name == name)).one_or_none()
    return None if row is None else _model(row)


def get_model(connection: Connection, name: str) -> Model:
    """The model called `name`; raise `NotFound` when there is none."""
    model = find_model(connection, name)
    if model is None:
        raise NotFound(
            "there is no such model", field="model", found=name, next_step="see 'tsavo ls' for what there is"
        )
    return model


def list_models(connection: Connection, *, search: str = "", offset: int = 0, limit: int = 50) -> Page[Model]:
    """Models in order of name, those whose name contains `search`."""
    query = sa.select(models).order_by(models.c.name)
    if search:
        query = query.where(models.c.name.contains(search, autoescape=True))
    return page_of(connection, query, _model, offset=offset, limit=limit, key=models.c.name)


def update_brief(connection: Connection, name: str, brief: Brief) -> None:
    """Replace a model's brief."""
    connection.execute(models.update().where(models.c.name == name).values(brief=brief))


def _model(row: sa.Row[Any]) -> Model:
    return Model(name=row.name, owner=row.owner, created=row.created, brief=row.brief)
