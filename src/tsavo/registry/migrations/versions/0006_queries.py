"""Saved queries, exports, and outcomes that wait for their decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "saved_queries",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("newest", sa.Integer, nullable=False),
        sa.Column("listed", sa.Boolean, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_saved_queries"),
    )
    op.create_table(
        "saved_query_versions",
        sa.Column(
            "name",
            sa.String(100),
            sa.ForeignKey("saved_queries.name", name="fk_saved_query_versions_name_saved_queries"),
            nullable=False,
        ),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("saved", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", "number", name="pk_saved_query_versions"),
    )
    op.create_table(
        "exports",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("next", sa.String(32), nullable=False),
        sa.Column("export", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_exports"),
    )
    op.create_index("ix_exports_next", "exports", ["next"])
    op.create_table(
        "waiting_outcomes",
        sa.Column("endpoint", sa.String(100), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("recorded", sa.String(32), nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "id", name="pk_waiting_outcomes"),
    )
    op.create_index("ix_waiting_outcomes_endpoint_recorded", "waiting_outcomes", ["endpoint", "recorded"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("waiting_outcomes")
    op.drop_table("exports")
    op.drop_table("saved_query_versions")
    op.drop_table("saved_queries")
