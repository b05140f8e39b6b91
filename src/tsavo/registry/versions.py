"""Versions of models: immutable, numbered from one, found again by what they are."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import sqlalchemy as sa

from tsavo.registry.models import get_model
from tsavo.registry.paging import page_of
from tsavo.registry.tables import models, versions
from tsavo.storage import Connection
from tsavo.vocabulary import Conflict, Environment, NotFound, Page, Reference, Signature, Version, VersionRef

__all__ = [
    "add_version",
    "environments_in_use",
    "find_by_digest",
    "get_version",
    "list_versions",
    "newest_version",
    "version_digest",
    "versions_after",
]


def version_digest(
    source: str,
    artifact: str,
    signature: Signature,
    reference: Reference | None,
    environment: Environment | None = None,
) -> str:
    """What a version *is*: SHA-256 over the digests of its parts and its signature.

    Parameters
    ----------
    source, artifact
        SHA-256 of the model file as handed in and of the file that the runtime loads.
    environment
        The environment of its own that it runs in.
    """
    parts: dict[str, Any] = {
        "source": source,
        "artifact": artifact,
        "signature": signature,
        "reference": reference,
    }
    if environment is not None:
        parts["environment"] = environment.digest
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def add_version(connection: Connection, draft: Version) -> Version:
    """Give `draft` the model's next number and keep it. The model must exist.

    Raises
    ------
    Conflict
        When the model has a version with this digest.
    """
    number = connection.execute(
        models.update()
        .where(models.c.name == draft.model)
        .values(newest=models.c.newest + 1)
        .returning(models.c.newest)
    ).scalar_one()
    version = msgspec.structs.replace(draft, number=number)
    values = {column.name: getattr(version, column.name) for column in versions.columns}
    try:
        connection.execute(versions.insert().values(values))
    except sa.exc.IntegrityError as error:
        raise Conflict(
            "this model has exactly this version already",
            field="digest",
            found=draft.digest,
            next_step="if somebody registered it at this very moment, try again",
        ) from error
    return version


def find_by_digest(connection: Connection, model: str, digest: str) -> Version | None:
    """The version of `model` that is exactly this, or ``None``."""
    query = sa.select(versions).where(versions.c.model == model, versions.c.digest == digest)
    row = connection.execute(query).one_or_none()
    return None if row is None else _version(row)


def get_version(connection: Connection, ref: VersionRef) -> Version:
    """One version; raise `NotFound` when there is none."""
    query = sa.select(versions).where(versions.c.model == ref.model, versions.c.number == ref.number)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(
            "there is no such version",
            field="version",
            found=str(ref),
            next_step=f"see its versions with 'tsavo show {ref.model}'",
        )
    return _version(row)


def newest_version(connection: Connection, model: str) -> Version:
    """The version of `model` with the highest number; raise `NotFound` when there is none."""
    get_model(connection, model)
    query = sa.select(versions).where(versions.c.model == model).order_by(versions.c.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("this model has no version yet", field="model", found=model, next_step="register one")
    return _version(row)


def list_versions(connection: Connection, model: str, *, offset: int = 0, limit: int = 50) -> Page[Version]:
    """Versions of `model`, newest first."""
    query = sa.select(versions).where(versions.c.model == model).order_by(versions.c.number.desc())
    return page_of(connection, query, _version, offset=offset, limit=limit)


def versions_after(
    connection: Connection, after: VersionRef | None, *, model: str | None = None, limit: int = 50
) -> tuple[list[Version], int, int]:
    """The next versions in order of model and number; how many come before them, and how many there are in all.

    Parameters
    ----------
    after
        Where the last page ended; it need not exist any more.
    model
        Versions of this model only.
    """
    query = sa.select(versions).order_by(versions.c.model, versions.c.number)
    if model is not None:
        query = query.where(versions.c.model == get_model(connection, model).name)
    total = _count(connection, query)
    before = 0
    if after is not None:
        place = sa.tuple_(versions.c.model, versions.c.number)
        here = sa.tuple_(sa.literal(after.model), sa.literal(after.number))
        before = total - _count(connection, query.where(place > here))
        query = query.where(place > here)
    rows = connection.execute(query.limit(limit))
    return [_version(row) for row in rows], before, total


def _count(connection: Connection, query: sa.Select[Any]) -> int:
    counted = sa.select(sa.func.count()).select_from(query.order_by(None).subquery())
    return int(connection.execute(counted).scalar_one())


def environments_in_use(connection: Connection) -> set[str]:
    """Digests of the environments that versions run in."""
    query = sa.select(versions.c.environment).where(versions.c.environment.is_not(None)).distinct()
    return {environment.digest for (environment,) in connection.execute(query)}


def _version(row: sa.Row[Any]) -> Version:
    return Version(**{name: value for name, value in row._mapping.items() if value is not None})
