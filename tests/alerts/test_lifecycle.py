from __future__ import annotations

import math
import threading

import pytest

from tests.examples import NOON, SteppingClock, example_finding
from tsavo.alerts import acknowledge, count_open, get_alert, list_alerts, raise_alerts, resolve
from tsavo.governance import list_audit
from tsavo.storage import Database
from tsavo.vocabulary import Alert, Conflict, Finding, NotFound


def opened(database: Database, *findings: Finding) -> list[Alert]:
    with database.begin() as connection:
        return raise_alerts(connection, findings or [example_finding()], NOON)


def test_a_finding_in_alarm_opens_an_alert_that_says_it_all(database: Database) -> None:
    (alert,) = opened(database)
    assert (alert.endpoint, alert.monitor, alert.subject, alert.version) == (
        "credit",
        "drift",
        "age",
        "credit@1",
    )
    assert (alert.state, alert.opened, alert.text, alert.figures) == (
        "open",
        NOON,
        "'age' has moved.",
        {"shift": 0.4},
    )
    assert alert.budget == pytest.approx(1 / 200)
    with database.read() as connection:
        assert get_alert(connection, alert.id) == alert


def test_an_alarm_latches_and_a_new_version_starts_with_a_new_budget(database: Database) -> None:
    assert len(opened(database)) == 1
    assert opened(database, example_finding(evidence=1e6)) == []
    # The other column, the other monitor, the other endpoint and the new version have budgets of their own.
    others = [{"subject": "city"}, {"monitor": "quality"}, {"endpoint": "debit"}, {"version": "credit@2"}]
    assert len(opened(database, *(example_finding(**other) for other in others))) == 4


@pytest.mark.parametrize("changes", [{"alarm": False}, {"evidence": None}, {"threshold": None}])
def test_without_evidence_over_the_budget_there_is_no_alert(
    database: Database, changes: dict[str, object]
) -> None:
    assert opened(database, example_finding(**changes)) == []


def test_the_same_finding_twice_at_once_is_one_alert(database: Database) -> None:
    assert len(opened(database, example_finding(), example_finding())) == 1


def test_boundless_evidence_and_a_long_column_name_can_be_kept(database: Database) -> None:
    (alert,) = opened(database, example_finding(evidence=math.inf, subject="c" * 1000))
    assert 1e299 < alert.evidence < math.inf
    assert alert.subject == "c" * 1000


def test_it_is_acknowledged_then_resolved_with_notes_and_audit(
    database: Database, clock: SteppingClock
) -> None:
    (alert,) = opened(database)
    with database.begin() as connection:
        seen = acknowledge(connection, alert.id, by="ada", now=clock.now(), note="looking")
    with database.begin() as connection:
        done = resolve(connection, alert.id, by="bob", now=clock.now(), note="retrained")
    with database.read() as connection:
        assert get_alert(connection, alert.id) == done
        entries = list_audit(connection, subject="endpoint:credit").items
    assert (seen.state, seen.acknowledged_by, seen.resolved) == ("acknowledged", "ada", None)
    assert (done.state, done.acknowledged_by) == ("resolved", "ada")
    assert [(note.by, note.text) for note in done.notes] == [("ada", "looking"), ("bob", "retrained")]
    assert NOON < done.notes[0].time < done.notes[1].time
    assert [(entry.action, entry.who) for entry in entries] == [
        ("alert.resolved", "bob"),
        ("alert.acknowledged", "ada"),
    ]
    assert entries[0].before["state"] == "acknowledged"


def test_an_open_alert_can_be_resolved_at_once(database: Database) -> None:
    (alert,) = opened(database)
    with database.begin() as connection:
        assert resolve(connection, alert.id, by="ada", now=NOON).acknowledged is None


def test_what_is_done_stays_done(database: Database) -> None:
    (alert,) = opened(database)
    with database.begin() as connection:
        acknowledge(connection, alert.id, by="ada", now=NOON)
        with pytest.raises(Conflict, match="acknowledged already"):
            acknowledge(connection, alert.id, by="bob", now=NOON)
        resolve(connection, alert.id, by="ada", now=NOON)
        for again in (acknowledge, resolve):
            with pytest.raises(Conflict, match="resolved already"):
                again(connection, alert.id, by="bob", now=NOON)
        assert list_audit(connection).total == 2
        # The alarm stays latched: a resolved alert does not come back for the same version.
        assert raise_alerts(connection, [example_finding()], NOON) == []


def test_of_two_who_acknowledge_at_once_one_is_told(database: Database) -> None:
    (alert,) = opened(database)
    told: list[str] = []

    def acknowledge_too() -> None:
        try:
            with database.begin() as connection:
                acknowledge(connection, alert.id, by="bob", now=NOON)
        except Conflict as error:
            told.append(error.reason)

    other = threading.Thread(target=acknowledge_too)
    with database.begin() as connection:
        acknowledge(connection, alert.id, by="ada", now=NOON)
        other.start()
        # Time for the other one to have read the alert, which for him is still open, and to wait for us.
        other.join(0.3)
        assert other.is_alive()
    other.join(30)
    assert len(told) == 1
    with database.read() as connection:
        assert get_alert(connection, alert.id).acknowledged_by == "ada"
        assert list_audit(connection).total == 1


def test_an_unknown_alert_is_named(database: Database) -> None:
    with database.read() as connection, pytest.raises(NotFound):
        get_alert(connection, 99)


def test_lists_and_counts(database: Database) -> None:
    alerts = opened(
        database,
        example_finding(),
        example_finding(subject="city"),
        example_finding(endpoint="debit"),
    )
    with database.begin() as connection:
        resolve(connection, alerts[0].id, by="ada", now=NOON)
        ids = [alert.id for alert in alerts]
        assert [alert.id for alert in list_alerts(connection).items] == ids[::-1]
        assert [alert.id for alert in list_alerts(connection, state="open").items] == [ids[2], ids[1]]
        assert [alert.id for alert in list_alerts(connection, endpoint="credit").items] == [ids[1], ids[0]]
        assert list_alerts(connection, endpoint="credit", state="resolved", limit=1).total == 1
        assert count_open(connection, ["credit", "debit", "unknown"]) == {"credit": 1, "debit": 1}
        assert count_open(connection, []) == {}
