"""Versions of models: immutable, numbered from one, found again by what they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from tsavo.registry.models import get_model
from tsavo.registry.paging import page_of
from tsavo.registry.tables import models, versions
from tsavo.storage import Connection
from tsavo.vocabulary import (
    Conflict,
    Environment,
    Hints,
    Lineage,
    NotFound,
    Page,
    Reference,
    RuntimeName,
    Signature,
    Version,
    VersionRef,
)

__all__ = [
    "Origin",
    "add_version",
    "artifact_in_use",
    "environments_in_use",
    "find_by_digest",
    "get_version",
    "list_versions",
    "newest_version",
    "newest_versions",
    "origins_of",
    "replace_kept",
    "signatures_of",
    "version_digest",
    "versions_after",
]

# Versions in one question to the database; both engines take many more.
_AT_ONCE: Final = 5_000


class Origin(msgspec.Struct, frozen=True):
    """What a version was made from: enough to tell that the same files would make it again."""

    ref: VersionRef
    digest: str
    runtime: RuntimeName
    lineage: Lineage
    target: str | None
    hints: Hints


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


def signatures_of(connection: Connection, refs: Iterable[VersionRef]) -> dict[VersionRef, Signature]:
    """Signatures of those of `refs` that exist; versions with equal ones share one object."""
    wanted = sorted(refs)
    table = versions.c
    named = sa.tuple_(table.model, table.number)
    read: dict[str, Signature] = {}
    found: dict[VersionRef, Signature] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        some = [(ref.model, ref.number) for ref in wanted[start : start + _AT_ONCE]]
        # As text: thousands of versions of a family have the same, which is read once.
        query = sa.select(table.model, table.number, sa.type_coerce(table.signature, sa.Text).label("text"))
        for row in connection.execute(query.where(named.in_(some))):
            if row.text not in read:
                read[row.text] = msgspec.json.decode(row.text, type=Signature)
            found[VersionRef(row.model, row.number)] = read[row.text]
    return found


def origins_of(connection: Connection, names: Iterable[str]) -> dict[str, list[Origin]]:
    """What the versions of these models were made from, oldest first; models without a version are left out."""
    wanted = sorted(set(names))
    table = versions.c
    chosen = (
        table.model,
        table.number,
        table.digest,
        table.runtime,
        table.lineage,
        table.reference,
        table.hints,
    )
    found: dict[str, list[Origin]] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        query = sa.select(*chosen).where(table.model.in_(wanted[start : start + _AT_ONCE]))
        for row in connection.execute(query.order_by(table.model, table.number)):
            target = None if row.reference is None else row.reference.target
            origin = Origin(
                VersionRef(row.model, row.number),
                row.digest,
                row.runtime,
                row.lineage,
                target,
                row.hints or Hints(),
            )
            found.setdefault(row.model, []).append(origin)
    return found


def replace_kept(connection: Connection, version: Version) -> None:
    """Keep another sample of training data, or other known values, for a version that is there."""
    here = (versions.c.model == version.model) & (versions.c.number == version.number)
    values = {"signature": version.signature, "reference": version.reference, "golden": version.golden}
    connection.execute(versions.update().where(here).values(values))


def artifact_in_use(connection: Connection, digest: str) -> bool:
    """Whether any version keeps the artifact with this digest."""
    table = versions.c
    # A digest is hexadecimal, and stands in these texts as it is.
    texts = (sa.type_coerce(column, sa.Text) for column in (table.reference, table.golden, table.lineage))
    named = sa.or_(table.artifact == digest, *(text.contains(digest) for text in texts))
    return connection.execute(sa.select(table.model).where(named).limit(1)).first() is not None


def newest_version(connection: Connection, model: str) -> Version:
    """The version of `model` with the highest number; raise `NotFound` when there is none."""
    get_model(connection, model)
    query = sa.select(versions).where(versions.c.model == model).order_by(versions.c.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("this model has no version yet", field="model", found=model, next_step="register one")
    return _version(row)


def newest_versions(connection: Connection, names: Sequence[str]) -> dict[str, tuple[Version, int]]:
    """For each of these models that has any: its newest version, and how many it has."""
    table = versions.c
    newest = (
        sa.select(table.model, sa.func.max(table.number).label("number"), sa.func.count().label("total"))
        .where(table.model.in_(names))
        .group_by(table.model)
        .subquery()
    )
    same = (table.model == newest.c.model) & (table.number == newest.c.number)
    query = sa.select(versions, newest.c.total).join(newest, same)
    found = {}
    for row in connection.execute(query):
        values = dict(row._mapping)
        total = values.pop("total")
        found[row.model] = _built(values), total
    return found


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
    return _built(row._mapping)


def _built(values: Mapping[Any, Any]) -> Version:
    return Version(**{name: value for name, value in values.items() if value is not None})
