"""Back-tests of versions over recorded decisions; the audit trail by time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and the index."""
    op.create_table(
        "backtests",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("endpoint", sa.String(100), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.Column("backtest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_backtests"),
    )
    op.create_index("ix_backtests_created", "backtests", ["created"])
    op.create_index("ix_audit_time", "audit", ["time"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_audit_time", "audit")
    op.drop_table("backtests")
