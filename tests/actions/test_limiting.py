from __future__ import annotations

from typing import Any

import pytest

from tsavo.actions import ControlPlane, deploy, limit
from tsavo.governance import list_audit, local_owner
from tsavo.vocabulary import Invalid, Limits, VersionRef

ADA = local_owner("ada")


def test_what_is_not_given_stays_and_none_takes_a_limit_away(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", VersionRef("credit", 1))
    route = limit(credit, ADA, "credit", milliseconds=50, concurrent=20)
    assert (route.limits, route.warm) == (Limits(50, 20), False)
    route = limit(credit, ADA, "credit", warm=True, why="always asked")
    assert (route.limits, route.warm, route.why) == (Limits(50, 20), True, "always asked")
    route = limit(credit, ADA, "credit", milliseconds=None)
    assert (route.limits, route.warm) == (Limits(None, 20), True)
    assert limit(credit, ADA, "credit", guard=True).guard
    after = deploy(credit, ADA, "credit", VersionRef("credit", 2))
    assert (after.limits, after.warm, after.guard) == (Limits(None, 20), True, True)
    with credit.database.read() as connection:
        actions = [entry.action for entry in list_audit(connection, limit=100).items]
    assert actions == ["endpoint.deploy", *["endpoint.limit"] * 4, "endpoint.deploy"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, None),
        ({"milliseconds": 0}, "milliseconds"),
        ({"milliseconds": 600_001}, "milliseconds"),
        ({"concurrent": -1}, "concurrent"),
        ({"concurrent": 100_001}, "concurrent"),
    ],
)
def test_what_is_no_limit_is_refused(credit: ControlPlane, given: dict[str, Any], field: str | None) -> None:
    deploy(credit, ADA, "credit", VersionRef("credit", 1))
    with pytest.raises(Invalid) as caught:
        limit(credit, ADA, "credit", **given)
    assert caught.value.field == field
