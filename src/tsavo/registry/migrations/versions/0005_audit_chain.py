"""The audit trail as a chain of hashes: a row cannot be changed, taken out or put in without those behind it."""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TOLD = ("time", "who", "action", "subject", "why", "before", "after")


def upgrade() -> None:
    """Add the column, and chain the rows that there are."""
    op.add_column("audit", sa.Column("chain", sa.String(64)))
    connection = op.get_bind()
    audit = sa.table("audit", *map(sa.column, ("id", *_TOLD, "chain")))
    query = sa.select(audit.c.id, *(audit.c[name] for name in _TOLD)).order_by(audit.c.id)
    chain = ""
    links = []
    for number, *told in connection.execute(query):
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        chain = hashlib.sha256((chain + text).encode()).hexdigest()
        links.append({"number": number, "link": chain})
    if links:
        change = sa.update(audit).where(audit.c.id == sa.bindparam("number"))
        connection.execute(change.values(chain=sa.bindparam("link")), links)


def downgrade() -> None:
    """Take the column away."""
    op.drop_column("audit", "chain")
