from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import tsavo
from tests.client.conftest import Scene
from tsavo.client import Family
from tsavo.client.family_scores import AllAnswers, joined
from tsavo.vocabulary import Invalid, NotFound, Refused, VersionRef

ROWS = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0)[::-1] ** 2})


@pytest.fixture(scope="module")
def family(scene: Scene) -> Family:
    """``stores`` by the number of the store, from a model with slopes 1, 2 and 3."""
    client = scene.client
    for slope in (1.0, 2.0, 3.0):
        client.register(LinearRegression().fit(ROWS, ROWS["a"] * slope), name="stores")
    client.deploy("stores@1")
    made = client.family("stores")
    route = made.make("store", dtype="int64", why="by store")
    assert route.segments is not None
    assert (route.segments.key, route.segments.dtype) == ("store", "int64")
    return made


@pytest.fixture(autouse=True)
def three_members(family: Family) -> None:
    present = {member.segment for member in family.members()}
    wanted: dict[int, str | VersionRef] = {7: "stores@2", 12: "stores", -3: VersionRef("stores", 1)}
    if gone := present - {str(segment) for segment in wanted}:
        family.remove(*gone)
    family.set(wanted)


def test_members_by_segment(family: Family) -> None:
    assert {member.segment: str(member.version) for member in family.members()} == {
        "-3": "stores@1",
        "12": "stores@3",
        "7": "stores@2",
    }
    assert [member.segment for member in family.members("1")] == ["12"]
    assert family.member(7).version == VersionRef("stores", 2)
    assert (family.info.members, family.info.segments["key"]) == (3, "store")
    assert family.name in repr(family)


def test_many_members_come_page_by_page(family: Family) -> None:
    changed = family.set(dict.fromkeys(range(1000, 3500), "stores@2"))
    assert (changed.changed, changed.members) == (2500, 2503)
    assert len({member.segment for member in family.members()}) == 2503
    # Setting waits until the gateway knows, so that all of them answer at once.
    assert len(family.score_all({"a": 1.0, "b": 2.0})) == 2503
    assert family.remove(*range(1000, 3500)).members == 3


def test_errors_name_the_segment(family: Family) -> None:
    with pytest.raises(Invalid) as wrong:
        family.set({"7": "stores@1", "north": "stores@1"})
    assert wrong.value.field == "segments.north"
    with pytest.raises(Refused) as refused:
        family.set({8: "stranger@1"})
    assert refused.value.field == "segments.8"
    with pytest.raises(NotFound):
        family.set({8: "nobody"})
    with pytest.raises(NotFound):
        family.remove(7, 8)
    with pytest.raises(NotFound):
        family.member(8)
    assert family.info.members == 3


def test_one_row_by_all_members(family: Family, scene: Scene) -> None:
    scores = family.score_all({"a": 10.0, "b": 81.0})
    assert (scores.segments, scores.versions) == (["-3", "12", "7"], ["stores@1", "stores@3", "stores@2"])
    assert scores.outputs["value"].shape == (3, 1)
    assert scores.outputs["value"][:, 0] == pytest.approx([10.0, 30.0, 20.0])
    assert (scores.roles, scores.errors, len(scores)) == (["champion"] * 3, {}, 3)
    decision = scene.client.decision(scores.decision_ids[1][0])["decision"]
    assert (decision["segment"], decision["version"]) == ("12", 3)


def test_a_few_rows_by_some_members_as_a_table(family: Family) -> None:
    scores = family.score_all(ROWS.head(4).assign(store=99), segments=[7, 12])
    table = scores.to_pandas()
    assert list(table.columns) == ["segment", "row", "decision_id", "value", "version", "role", "flags"]
    assert table["segment"].tolist() == ["12"] * 4 + ["7"] * 4
    assert table["row"].tolist() == [0, 1, 2, 3] * 2
    assert table["value"].tolist() == pytest.approx([0, 3, 6, 9, 0, 2, 4, 6], abs=1e-9)
    assert table["decision_id"].is_unique


def test_it_scores_as_the_endpoint_does(family: Family, scene: Scene) -> None:
    endpoint: tsavo.Endpoint = scene.client.endpoint("stores")
    alone = endpoint.score(ROWS.head(3).assign(store=[7, 12, 99]))
    every = family.score_all(ROWS.head(3))
    assert alone.outputs["value"][0] == every.outputs["value"][2][0]
    assert alone.outputs["value"][1] == every.outputs["value"][1][1]
    # A store without a version is the parent's, which is that of store -3.
    assert alone.outputs["value"][2] == every.outputs["value"][0][2]


def test_what_does_not_fit_is_not_sent(family: Family) -> None:
    with pytest.raises(Invalid) as missing:
        family.score_all({"a": 1.0})
    assert missing.value.field == "inputs.b"
    with pytest.raises(Invalid) as wrong:
        family.score_all({"a": "x", "b": 1.0})
    assert (wrong.value.field or "").startswith("inputs.a")
    with pytest.raises(Invalid) as unknown:
        family.score_all({"a": 1.0, "b": 1.0}, segments=[7, 8])
    assert unknown.value.field == "segments[1]"


def test_the_plug_of_one_segment(family: Family) -> None:
    assert family.plug(7, "odd").plug is not None
    try:
        assert family.member(7).plug is not None
    finally:
        assert family.unplug(7).plug is None


def test_pages_are_joined_and_errors_told_apart() -> None:
    def answered(segment: str, first: int, values: list[float]) -> dict[str, object]:
        output = {"name": "value", "datatype": "FP64", "shape": [len(values)], "data": values}
        return {
            "segment": segment,
            "version": "m@1",
            "role": "champion",
            "decision_id": f"0197f0a0-0000-7000-8000-00000000000{segment}:{first}",
            "flags": ["drill"],
            "row_flags": {"1": ["unseen:city"]},
            "outputs": [output],
        }

    import msgspec

    broken = {"segment": "c", "version": "m@2", "error": {"detail": "it is being moved"}}
    pages = [
        {"rows": 2, "members": [answered("1", 0, [1.0, 2.0]), broken], "after": "c"},
        {"rows": 2, "members": [answered("2", 4, [3.0, 4.0])], "after": None},
    ]
    scores = joined([msgspec.convert(page, AllAnswers) for page in pages])
    assert scores.segments == ["1", "2"]
    assert scores.outputs["value"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert [ids[-1][-2:] for ids in scores.decision_ids] == [":1", ":5"]
    assert scores.flags[0] == [["drill"], ["drill", "unseen:city"]]
    assert scores.errors == {"c": "it is being moved"}
