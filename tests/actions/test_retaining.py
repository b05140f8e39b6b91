"""How long rows are kept is a change of the route: checked, kept in the audit trail, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.actions import ControlPlane, deploy, retain
from tsavo.governance import list_audit, local_owner
from tsavo.vocabulary import Invalid, NotFound, Refused, Retention, VersionRef

ADA = local_owner("ada")


def test_what_is_not_given_stays_and_none_is_as_the_settings_say(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", VersionRef("credit", 1))
    assert retain(credit, ADA, "credit", keep_days=30).retention == Retention(30, None)
    assert retain(credit, ADA, "credit", at_least_days=7, why="law").retention == Retention(30, 7)
    assert retain(credit, ADA, "credit", keep_days=None).retention == Retention(None, 7)
    assert retain(credit, ADA, "credit", keep_days=0).retention == Retention(0, 7)
    assert deploy(credit, ADA, "credit", VersionRef("credit", 2)).retention == Retention(0, 7)
    with credit.database.read() as connection:
        entries = list_audit(connection, limit=100).items
    assert [entry.action for entry in entries[1:5]] == ["endpoint.retention"] * 4
    assert (entries[3].why, entries[3].who) == ("law", "ada")
    assert entries[3].after["retention"] == {"keep_days": 30, "at_least_days": 7}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, None),
        ({"keep_days": -1}, "keep_days"),
        ({"keep_days": 36_501}, "keep_days"),
        ({"at_least_days": -1}, "at_least_days"),
    ],
    ids=["nothing", "negative", "too-many", "negative-floor"],
)
def test_what_is_no_number_of_days_is_refused(
    credit: ControlPlane, given: dict[str, Any], field: str | None
) -> None:
    deploy(credit, ADA, "credit", VersionRef("credit", 1))
    with pytest.raises(Invalid) as caught:
        retain(credit, ADA, "credit", **given)
    assert caught.value.field == field


def test_no_ceiling_goes_below_a_floor(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", VersionRef("credit", 1))
    retain(credit, ADA, "credit", at_least_days=90)
    with pytest.raises(Refused, match="must be kept"):
        retain(credit, ADA, "credit", keep_days=89)
    with pytest.raises(Refused):
        retain(credit, ADA, "credit", keep_days=90, everywhere=Retention(None, 365))
    with pytest.raises(Refused):
        retain(credit, ADA, "credit", keep_days=10, at_least_days=11)
    assert retain(credit, ADA, "credit", keep_days=90).retention == Retention(90, 90)
    with pytest.raises(NotFound):
        retain(credit, ADA, "nobody", keep_days=1)


days = st.none() | st.integers(0, 40_000)


@given(st.builds(Retention, days, days), st.builds(Retention, days, days))
def test_whatever_is_said_nothing_younger_than_any_floor_goes(own: Retention, everywhere: Retention) -> None:
    holds = own.within(everywhere)
    floor = max(own.at_least_days or 0, everywhere.at_least_days or 0)
    assert holds.at_least_days == floor
    assert holds.keep_days == 0 or (holds.keep_days or 0) >= floor
    wanted = own.keep_days if own.keep_days is not None else everywhere.keep_days or 0
    assert (holds.keep_days == 0) == (wanted == 0)
