"""The keeper deletes what is older than it may be kept, once a day, and says so in the audit trail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.examples import keep_versions
from tests.lake.scene import START, Scene, decision, outcome, row_id
from tsavo.actions import deploy, retain
from tsavo.app.expiring import Expirer
from tsavo.app.parts import Parts, build_parts
from tsavo.app.settings import Settings
from tsavo.governance import list_audit, local_owner
from tsavo.registry import migrate
from tsavo.storage import Home
from tsavo.vocabulary import Retention, VersionRef

ADA = local_owner("ada")
DAY = 86_400
BEGIN = datetime.fromtimestamp(START // 1_000_000_000, UTC)


class At:
    """A clock that stands."""

    def __init__(self, now: datetime) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment

    def nanoseconds(self) -> int:
        return int(self.moment.timestamp() * 1e9)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """Two endpoints with a decision a day for 100 days, in a lake; it is the hundredth day."""
    home = Home(tmp_path)
    home.create()
    built = build_parts(home, Settings())
    migrate(built.database)
    scene = Scene(tmp_path)
    for endpoint in ("credit", "sales"):
        for day in range(100):
            scene.write(decision(day * DAY, endpoint=endpoint))
            if day % 10 == 9:
                scene.ship()
    scene.write(outcome([row_id(0)], [1], at=3 * DAY, endpoint="credit"))
    scene.ship()
    with built.database.begin() as connection:
        keep_versions(connection, "m", 1)
    for endpoint in ("credit", "sales"):
        deploy(built.control, ADA, endpoint, VersionRef("m", 1))
    return built._replace(lake=scene.lake, clock=At(BEGIN + timedelta(days=99)))


def days(parts: Parts, endpoint: str) -> int:
    table = parts.lake.sql(f"SELECT count(*) AS n FROM decisions WHERE endpoint = '{endpoint}'")
    count: int = table["n"][0].as_py()
    return count


def test_each_endpoint_keeps_what_it_says(parts: Parts) -> None:
    retain(parts.control, ADA, "credit", keep_days=30)
    rows = Expirer(parts, Retention(0, 0)).expire()
    # From midnight of the thirtieth day back on: that day, the days since, and today.
    assert days(parts, "credit") == 31
    assert days(parts, "sales") == 100
    assert rows == 69 + 1
    with parts.database.read() as connection:
        (entry,) = list_audit(connection, subject="endpoint:credit", limit=1).items
    assert (entry.who, entry.action) == ("keeper", "lake.expire")
    assert (entry.after["decisions"], entry.after["outcomes"]) == (69, 1)


def test_the_settings_hold_where_an_endpoint_says_nothing_and_the_floor_always(parts: Parts) -> None:
    retain(parts.control, ADA, "credit", keep_days=0)
    retain(parts.control, ADA, "sales", keep_days=5)
    Expirer(parts, Retention(10, 50)).expire()
    assert (days(parts, "credit"), days(parts, "sales")) == (100, 51)


def test_it_is_done_once_a_day(parts: Parts) -> None:
    expirer = Expirer(parts, Retention(10, 0))
    assert expirer.expire() == 2 * 89 + 1
    assert expirer.expire() == 0
    later = parts._replace(clock=At(parts.clock.now() + timedelta(days=1)))
    assert Expirer(later, Retention(10, 0)).expire() == 2


def test_for_ever_is_for_ever(parts: Parts) -> None:
    assert Expirer(parts, Retention(0, 0)).expire() == 0
    assert Expirer(parts, Retention(None, None)).expire() == 0
    assert days(parts, "credit") == 100
