"""The first schema: models, versions, endpoints, audit trail, alerts, monitor states."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.String(32)


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "models",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("brief", sa.Text, nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("newest", sa.Integer, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column(
            "model",
            sa.String(100),
            sa.ForeignKey("models.name", name="fk_versions_model_models"),
            nullable=False,
        ),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("artifact", sa.String(64), nullable=False),
        sa.Column("artifact_bytes", sa.BigInteger, nullable=False),
        sa.Column("runtime", sa.String(20), nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("lineage", sa.Text, nullable=False),
        sa.Column("checks", sa.Text, nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("model", "number", name="pk_versions"),
        sa.UniqueConstraint("model", "digest", name="uq_versions_model_digest"),
    )
    op.create_index("ix_versions_created", "versions", ["created"])
    op.create_table(
        "endpoints",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("plugged", sa.Boolean, nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.UniqueConstraint("revision", name="uq_endpoints_revision"),
    )
    op.create_index("ix_endpoints_model", "endpoints", ["model"])
    op.create_index("ix_endpoints_plugged", "endpoints", ["plugged"])
    op.create_table(
        "routes",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("endpoint", sa.String(100), nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("changed", _TIME, nullable=False),
    )
    op.create_index("ix_routes_endpoint_revision", "routes", ["endpoint", "revision"])
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counters, [{"name": "route_revision", "value": 0}])
    _create_watching_tables()


def _create_watching_tables() -> None:
    op.create_table(
        "audit",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("subject", sa.String(220), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
    )
    op.create_index("ix_audit_subject_id", "audit", ["subject", "id"])
    op.create_table(
        "alerts",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("endpoint", sa.String(100), nullable=False),
        sa.Column("monitor", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("version", sa.String(120), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("opened", _TIME, nullable=False),
        sa.Column("evidence", sa.Float, nullable=False),
        sa.Column("budget", sa.Float, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
        sa.Column("acknowledged", _TIME),
        sa.Column("acknowledged_by", sa.String(200), nullable=False),
        sa.Column("resolved", _TIME),
        sa.Column("notes", sa.Text, nullable=False),
        sa.UniqueConstraint(
            "endpoint", "monitor", "version", "subject", name="uq_alerts_endpoint_monitor_version_subject"
        ),
    )
    op.create_index("ix_alerts_state_id", "alerts", ["state", "id"])
    op.create_table(
        "watches",
        sa.Column("endpoint", sa.String(100), primary_key=True),
        sa.Column("version", sa.String(120), nullable=False),
        sa.Column("position", sa.Text, nullable=False),
        sa.Column("labelled", sa.Text, nullable=False),
        sa.Column("findings", sa.Text, nullable=False),
        sa.Column("changed", _TIME, nullable=False),
    )
    op.create_table(
        "monitor_states",
        sa.Column("endpoint", sa.String(100), nullable=False),
        sa.Column("monitor", sa.String(100), nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "monitor", name="pk_monitor_states"),
    )


def downgrade() -> None:
    """Drop all tables."""
    for table in (
        "monitor_states",
        "watches",
        "alerts",
        "audit",
        "counters",
        "routes",
        "endpoints",
        "versions",
        "models",
    ):
        op.drop_table(table)
