"""What the keeper deletes because it is older than it may be kept."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tsavo.app.parts import Parts
from tsavo.governance import audit
from tsavo.registry import items_of, list_routes
from tsavo.vocabulary import Retention

__all__ = ["Expirer"]

_LOG: Final = logging.getLogger("tsavo.keeper")
_PAGE: Final = 1000
_WHO: Final = "keeper"


class Expirer:
    """Takes rows out of the lake that are older than their endpoint keeps them, once a day for each endpoint.

    Parameters
    ----------
    everywhere
        What the settings say.
    """

    def __init__(self, parts: Parts, everywhere: Retention) -> None:
        self._parts = parts
        self._everywhere = everywhere
        self._done: dict[str, datetime] = {}

    def expire(self) -> int:
        """Delete what is due; return how many rows that was."""
        now = self._parts.clock.now()
        rows = 0
        for endpoint, said in self._retentions().items():
            days = said.within(self._everywhere).keep_days
            if not days:
                continue
            # Whole days, so that a file is written anew at most once a day.
            before = (now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
            if self._done.get(endpoint) == before:
                continue
            rows += self._drop(endpoint, before, now)
            self._done[endpoint] = before
        return rows

    def _drop(self, endpoint: str, before: datetime, now: datetime) -> int:
        expired = self._parts.lake.expire(endpoint, before)
        if not expired:
            return 0
        told: dict[str, Any] = {name: found.rows for name, found in expired.items()}
        with self._parts.database.begin() as connection:
            audit(
                connection,
                time=now,
                who=_WHO,
                action="lake.expire",
                subject=f"endpoint:{endpoint}",
                why=f"older than {before.date().isoformat()}",
                after=msgspec.to_builtins({"before": before, **told}),
            )
        _LOG.info("rows of %s from before %s were deleted: %s", endpoint, before.date(), told)
        return sum(found.rows for found in expired.values())

    def _retentions(self) -> dict[str, Retention]:
        """What each endpoint says that has rows; nothing for one that has no route any more."""
        found = dict.fromkeys(self._parts.lake.endpoints(), Retention())
        with self._parts.database.read() as connection:
            routes = items_of(lambda offset: list_routes(connection, offset=offset, limit=_PAGE))
            return found | {route.endpoint: route.retention for route in routes if route.endpoint in found}
