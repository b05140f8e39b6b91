from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tests.examples import CLASSIFIER, keep_versions
from tsavo.actions import ControlPlane, deploy, make_family, share
from tsavo.governance import list_audit, local_owner
from tsavo.registry import get_route
from tsavo.vocabulary import Challenger, Conflict, Invalid, NotFound, Refused, Route, Split, VersionRef

ADA = local_owner("ada")


def ref(number: int, model: str = "credit") -> VersionRef:
    return VersionRef(model, number)


def numbers(*drawn: int) -> Callable[[], int]:
    """A source of seeds that gives these, each once."""
    return iter(drawn).__next__


@pytest.fixture
def endpoint(credit: ControlPlane) -> ControlPlane:
    """An endpoint 'credit' with version 1 as its champion."""
    deploy(credit, ADA, "credit", ref(1))
    return credit


def test_the_seed_is_drawn_once_and_stays_while_anybody_has_a_share(endpoint: ControlPlane) -> None:
    draw = numbers(7, 8)

    def divide(number: int, part: float, by: str | None = None) -> Route:
        return share(endpoint, ADA, "credit", ref(number), part, by=by, draw=draw)

    assert divide(2, 0.1).split == Split("request", 7)
    assert divide(3, 0.2, "key").split == Split("key", 7)
    assert divide(2, 0.3).split == Split("key", 7)
    assert divide(2, 0.0).split == Split("key", 7)
    assert divide(3, 0.0).split == Split()
    # A new experiment sorts keys anew, so that it does not inherit what the last one did to them.
    assert divide(2, 0.1).split == Split("request", 8)
    with endpoint.database.read() as connection:
        newest, *_ = list_audit(connection, subject="endpoint:credit").items
    assert newest.action == "endpoint.share"
    assert newest.after["split"] == {"by": "request", "seed": 8}


def test_seeds_differ_and_every_json_reader_keeps_them(endpoint: ControlPlane) -> None:
    seeds = set()
    for _ in range(5):
        seeds.add(share(endpoint, ADA, "credit", ref(2), 0.1).split.seed)
        share(endpoint, ADA, "credit", ref(2), 0)
    assert len(seeds) == 5
    assert all(0 <= seed < 2**53 for seed in seeds)


def test_changing_a_share_leaves_the_challenger_in_its_place(endpoint: ControlPlane) -> None:
    # The place decides which keys it has.
    share(endpoint, ADA, "credit", ref(2), 0.1)
    share(endpoint, ADA, "credit", ref(3), 0.2)
    assert share(endpoint, ADA, "credit", ref(2), 0.15).challengers == (
        Challenger(ref(2), "share", 0.15),
        Challenger(ref(3), "share", 0.2),
    )


@pytest.mark.parametrize("part", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_what_is_no_share_is_refused(endpoint: ControlPlane, part: float) -> None:
    with pytest.raises(Invalid) as caught:
        share(endpoint, ADA, "credit", ref(2), part)
    assert caught.value.field == "share"


def test_the_champion_keeps_something(endpoint: ControlPlane) -> None:
    share(endpoint, ADA, "credit", ref(2), 0.1)
    share(endpoint, ADA, "credit", ref(3), 0.2)
    # In floating point these three are less than 1 by rounding alone.
    with pytest.raises(Invalid, match="nothing to the champion"):
        share(endpoint, ADA, "credit", ref(4), 0.7)
    assert len(share(endpoint, ADA, "credit", ref(4), 0.69).challengers) == 3


@pytest.mark.parametrize(
    ("by", "right"),
    [
        ("request", True),
        ("key", True),
        ("caller", True),
        ("column:age", True),
        ("column:city", True),
        ("column:height", False),
        ("column:", False),
        ("age", False),
        ("", False),
    ],
)
def test_what_traffic_can_be_divided_by(endpoint: ControlPlane, by: str, right: bool) -> None:
    if right:
        assert share(endpoint, ADA, "credit", ref(2), 0.1, by=by).split.by == by
        return
    with pytest.raises(Invalid) as caught:
        share(endpoint, ADA, "credit", ref(2), 0.1, by=by)
    assert caught.value.field == "by"


@pytest.mark.parametrize(
    ("number", "part", "error", "words"),
    [
        (1, 0.1, Conflict, "champion already"),
        (2, 0, Conflict, "no share"),
        (9, 0.1, NotFound, "version"),
    ],
)
def test_who_cannot_have_a_share(
    endpoint: ControlPlane, number: int, part: float, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        share(endpoint, ADA, "credit", ref(number), part)


def test_a_version_that_callers_could_not_use_has_no_share(endpoint: ControlPlane) -> None:
    with pytest.raises(Refused, match="task is binary"):
        share(endpoint, ADA, "credit", ref(1, "price"), 0.1)


def test_a_familys_traffic_is_divided_already(endpoint: ControlPlane) -> None:
    make_family(endpoint, ADA, "credit", "city")
    with pytest.raises(Conflict, match="family"):
        share(endpoint, ADA, "credit", ref(2), 0.1)


def test_a_champion_without_the_column_cannot_take_over_while_it_divides(plane: ControlPlane) -> None:
    narrow = msgspec.structs.replace(CLASSIFIER, inputs=CLASSIFIER.inputs[:1])
    with plane.database.begin() as connection:
        keep_versions(connection, "credit", 1)
        keep_versions(connection, "narrow", 2, narrow)
    deploy(plane, ADA, "credit", ref(1))
    share(plane, ADA, "credit", ref(1, "narrow"), 0.1, by="column:city")
    share(plane, ADA, "credit", ref(2, "narrow"), 0.1)
    with pytest.raises(Refused, match="divided by a column") as caught:
        deploy(plane, ADA, "credit", ref(1, "narrow"), fallback=[])
    assert "--share 0" in str(caught.value.next_step)
    share(plane, ADA, "credit", ref(2, "narrow"), 0)
    deploy(plane, ADA, "credit", ref(1, "narrow"), fallback=[])
    with plane.database.read() as connection:
        assert get_route(connection, "credit").split == Split()
