from __future__ import annotations

import msgspec

from tests.examples import NOON, example_route
from tsavo.vocabulary import Challenger, ConstantFallback, Plug, Route, VersionFallback, VersionRef

FULL = example_route(
    challengers=(Challenger(VersionRef("credit", 2)),),
    fallback=(VersionFallback(VersionRef("old", 7)), ConstantFallback({"label": 0})),
    plug=Plug("ada", NOON, "drill"),
)


def test_a_route_names_every_version_it_can_call_on() -> None:
    assert FULL.versions() == {VersionRef("credit", 1), VersionRef("credit", 2), VersionRef("old", 7)}


def test_a_route_reads_back_from_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(FULL), type=Route) == FULL
