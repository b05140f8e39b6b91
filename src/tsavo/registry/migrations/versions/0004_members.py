"""Members of families: a version for each segment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "members",
        sa.Column(
            "endpoint",
            sa.String(100),
            sa.ForeignKey("endpoints.name", name="fk_members_endpoint_endpoints"),
            nullable=False,
        ),
        sa.Column("segment", sa.String(200), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("member", sa.Text, nullable=False),
        sa.Column("model", sa.String(100)),
        sa.Column("number", sa.Integer),
        sa.PrimaryKeyConstraint("endpoint", "segment", name="pk_members"),
        sa.UniqueConstraint("revision", name="uq_members_revision"),
    )
    op.create_index("ix_members_model_number", "members", ["model", "number"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("members")
