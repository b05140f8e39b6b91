"""Brings a database to the present schema (Alembic)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tsavo.storage import Connection, Database
from tsavo.vocabulary import Conflict

__all__ = ["migrate", "schema_revision"]

_SCRIPTS: Final = Path(__file__).with_name("migrations")
# Any number will do, as long as nobody else in this database takes it for another purpose.
_LOCK: Final = 0x7473_6176_6F


def migrate(database: Database) -> None:
    """Create or upgrade the tables.

    Raises
    ------
    Conflict
        When the database was written by a newer Tsavo.
    """
    # A quarter of a second of imports, for the one process that migrates: the others only ask for the revision.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    # ConfigParser reads '%' as interpolation, and a home may have one in its path.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with database.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Several nodes may start at once; SQLite's transaction holds the one write lock anyway.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        present = schema_revision(connection)
        if present == scripts.get_current_head():
            return
        if present is not None and present not in {script.revision for script in scripts.walk_revisions()}:
            raise Conflict(
                "this home was written by a newer Tsavo",
                field="registry",
                found=f"schema {present}",
                expected=f"schema {scripts.get_current_head()} or older",
                next_step="install the newer Tsavo again, or use another home",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def schema_revision(connection: Connection) -> str | None:
    """The schema that the database has, or ``None`` when it is empty."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return revision
