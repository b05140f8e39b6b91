"""Back-tests: what another version would have answered to recorded decisions."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tsavo.actions import continue_backtest, start_backtest
from tsavo.console.crowding import REGISTRATIONS
from tsavo.console.declaring import act, look
from tsavo.console.moments import aware
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right
from tsavo.registry import get_backtest, list_backtests
from tsavo.vocabulary import Backtest, Page, VersionRef

__all__ = ["BACKTEST_ROUTES", "backtests_of"]


class BacktestGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which version (``model@3``) over whose decisions, and from when until when.

    Attributes
    ----------
    name
        Of the table of its answers; one is made where none is given.
    """

    version: str
    endpoint: str
    name: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@act("/api/backtests", Right.QUERY, summary="Set up a back-test")
def start(parts: ConsoleParts, who: Principal, data: BacktestGiven) -> Backtest:
    """Set up a back-test, which is then run by asking for its next piece until it is finished."""
    return start_backtest(
        parts.plane,
        who,
        VersionRef.parse(data.version),
        data.endpoint,
        name=data.name,
        since=aware(data.since),
        until=aware(data.until),
    )


@act("/api/backtests/{name:str}/next", Right.QUERY, summary="Run the next piece of a back-test")
async def go_on(parts: ConsoleParts, who: Principal, name: str) -> Backtest:
    """Ask the version the next few hundred requests; nothing happens when it is finished."""
    return await REGISTRATIONS.run(lambda: continue_backtest(parts.plane, parts.lake, who, name))


# Not GET /api/backtests: two methods of one path lose their threads in Litestar 2.25.
@look("/api/backtests/all", summary="Back-tests, newest first")
def listed(
    parts: ConsoleParts, endpoint: str | None = None, offset: int = 0, limit: int = 50
) -> Page[Backtest]:
    """Back-tests, of all endpoints or one."""
    return backtests_of(parts, endpoint, offset, limit)


def backtests_of(parts: ConsoleParts, endpoint: str | None, offset: int, limit: int) -> Page[Backtest]:
    """One page of them."""
    with parts.plane.database.read() as connection:
        return list_backtests(connection, endpoint=endpoint, offset=offset, limit=limit)


@look("/api/backtests/{name:str}", summary="One back-test")
def one(parts: ConsoleParts, name: str) -> Backtest:
    """How far it has come."""
    with parts.plane.database.read() as connection:
        return get_backtest(connection, name)


BACKTEST_ROUTES = [start, go_on, listed, one]
