"""The tables of models, versions and endpoints."""

from __future__ import annotations

import sqlalchemy as sa

from tsavo.storage import JsonText, UtcDateTime, metadata
from tsavo.vocabulary import (
    Brief,
    Check,
    Environment,
    Golden,
    Hints,
    Lineage,
    Member,
    Reference,
    Route,
    Signature,
    Verification,
)

__all__ = ["counters", "endpoints", "members", "models", "routes", "verifications", "versions"]

models = sa.Table(
    "models",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("brief", JsonText(Brief), nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    # Numbers are never given twice, so the newest is kept here and not counted from the versions.
    sa.Column("newest", sa.Integer, nullable=False),
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("model", sa.String(100), sa.ForeignKey("models.name"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("artifact", sa.String(64), nullable=False),
    sa.Column("artifact_bytes", sa.BigInteger, nullable=False),
    sa.Column("runtime", sa.String(20), nullable=False),
    sa.Column("signature", JsonText(Signature), nullable=False),
    sa.Column("reference", JsonText(Reference)),
    sa.Column("lineage", JsonText(Lineage), nullable=False),
    sa.Column("checks", JsonText(tuple[Check, ...]), nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    # Absent for versions from before there were Python workers.
    sa.Column("reason", sa.Text),
    sa.Column("environment", JsonText(Environment)),
    sa.Column("golden", JsonText(Golden)),
    sa.Column("hints", JsonText(Hints)),
    sa.UniqueConstraint("model", "digest"),
    sa.Index(None, "created"),
)

endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False, unique=True),
    sa.Column("route", JsonText(Route), nullable=False),
    # Kept beside the route so that lists can be filtered and sorted in the database.
    sa.Column("model", sa.String(100), nullable=False),
    sa.Column("plugged", sa.Boolean, nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Index(None, "model"),
    sa.Index(None, "plugged"),
)

routes = sa.Table(
    "routes",
    metadata,
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("endpoint", sa.String(100), nullable=False),
    sa.Column("route", JsonText(Route), nullable=False),
    sa.Column("changed", UtcDateTime, nullable=False),
    sa.Index(None, "endpoint", "revision"),
)

members = sa.Table(
    "members",
    metadata,
    sa.Column("endpoint", sa.String(100), sa.ForeignKey("endpoints.name"), primary_key=True),
    sa.Column("segment", sa.String(200), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False, unique=True),
    sa.Column("member", JsonText(Member), nullable=False),
    # Kept beside the whole so that lists can be filtered in the database; absent when the segment was taken out.
    sa.Column("model", sa.String(100)),
    sa.Column("number", sa.Integer),
    sa.Index(None, "model", "number"),
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(50), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

verifications = sa.Table(
    "verifications",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("model", sa.String(100), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("time", UtcDateTime, nullable=False),
    # Kept beside the whole so that lists can be filtered in the database.
    sa.Column("verdict", sa.String(20), nullable=False),
    sa.Column("found", JsonText(Verification), nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
    sa.Index(None, "model", "number", "id"),
)
