"""Many registrations at once, against a real Tsavo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

import tsavo
from tests.client.conftest import Scene
from tsavo.client import BulkResult
from tsavo.vocabulary import Invalid, NotFound, Refused, Unreadable, Untrusted, VersionRef

COUNT = 20  # more than one request holds


@pytest.fixture(scope="module")
def client(scene: Scene) -> tsavo.Client:
    return scene.client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files m0 to m19, each with figures of its own, and one reference for all."""
    folder = tmp_path_factory.mktemp("files")
    table, model = fitted()
    table.to_csv(folder / "reference.csv", index=False)
    for number in range(COUNT):
        skops.io.dump(another(model, number), folder / f"m{number}.skops")
    return folder


def fitted() -> tuple[pd.DataFrame, LogisticRegression]:
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(60, 2)), columns=["a", "b"])
    table["late"] = (table["a"] > 0).astype(int)
    return table, LogisticRegression().fit(table[["a", "b"]], table["late"])


def another(model: LogisticRegression, number: int) -> LogisticRegression:
    model.coef_ = model.coef_ + 1e-3 * (number + 1)
    return model


def rows(prefix: str, count: int = COUNT, **columns: Any) -> list[dict[str, Any]]:
    return [{"source": f"m{at}.skops", "name": f"{prefix}{at}", **columns} for at in range(count)]


def run(client: tsavo.Client, models: Any, **words: Any) -> dict[int, BulkResult]:
    """Results by row; each row has exactly one."""
    found = list(client.register_many(models, **words))
    assert len({result.row for result in found}) == len(found)
    return {result.row: result for result in found}


def statuses(found: dict[int, BulkResult]) -> set[str]:
    return {result.status for result in found.values()}


def test_many_are_registered_as_each_would_be_alone(client: tsavo.Client, folder: Path) -> None:
    listed = rows("many-", owner="ada", why="first load")
    given: dict[str, Any] = {"reference": folder / "reference.csv", "target": "late"}
    found = run(client, listed, folder=folder, **given)
    assert set(found) == set(range(1, COUNT + 1))
    assert all(result.status == "registered" and result.error is None for result in found.values())
    alone = client.register(folder / "m7.skops", name="alone", **given).version
    together = client.version("many-7@1")
    assert found[8].version == together.ref
    # The digest covers source, artifact, signature and reference.
    assert (together.digest, together.checks[0]) == (alone.digest, alone.checks[0])
    assert client.model("many-7")["model"]["owner"] == "ada"


def test_what_is_registered_already_is_known_and_not_sent_again(client: tsavo.Client, folder: Path) -> None:
    first = run(client, rows("again-", 3), folder=folder)
    listed = rows("again-", 4)
    second = run(client, listed, folder=folder)
    assert [second[row].status for row in (1, 2, 3, 4)] == ["known", "known", "known", "registered"]
    assert second[1].version == first[1].version == VersionRef("again-0", 1)
    # Other reference data makes it another version.
    third = run(client, listed[:1], folder=folder, reference=folder / "reference.csv", target="late")
    assert third[1].version == VersionRef("again-0", 2)
    assert statuses(run(client, listed, folder=folder)) == {"known"}


def test_a_bad_row_keeps_no_other_out(client: tsavo.Client, folder: Path, tmp_path: Path) -> None:
    import joblib

    (tmp_path / "broken.skops").write_bytes((folder / "m1.skops").read_bytes()[:900])
    joblib.dump(fitted()[1], tmp_path / "code.pkl")
    listed = [
        {"source": folder / "m0.skops", "name": "kept-0"},
        {"source": tmp_path / "broken.skops", "name": "broken"},
        {"source": tmp_path / "code.pkl", "name": "code"},
        {"source": tmp_path / "gone.skops", "name": "gone"},
        {"source": folder / "m1.skops", "name": "kept-1"},
    ]
    found = run(client, listed)
    assert [found[row].status for row in range(1, 6)] == [
        "registered",
        "failed",
        "failed",
        "failed",
        "registered",
    ]
    kinds = {row: type(found[row].error) for row in (2, 3, 4)}
    assert kinds == {2: Unreadable, 3: Untrusted, 4: NotFound}
    assert list(client.models("broken")) == []


def test_versions_are_deployed_once(client: tsavo.Client, folder: Path) -> None:
    listed = rows("live-", 3)
    listed[2]["endpoint"] = "elsewhere"
    found = run(client, listed, folder=folder, deploy=True)
    assert [found[row].endpoint for row in (1, 2, 3)] == ["live-0", "live-1", "elsewhere"]
    before = {route.endpoint: route.revision for route in client.endpoints()}
    again = run(client, listed, folder=folder, deploy=True)
    assert [again[row].endpoint for row in (1, 2, 3)] == ["live-0", "live-1", "elsewhere"]
    assert {route.endpoint: route.revision for route in client.endpoints()} == before


def test_a_version_that_cannot_be_deployed_is_kept_and_said_so(client: tsavo.Client, folder: Path) -> None:
    run(client, rows("fits-", 1), folder=folder, deploy=True)
    random = np.random.default_rng(1)
    wide = LogisticRegression().fit(random.normal(size=(40, 5)), np.arange(40) % 2)
    found = run(client, [{"source": wide, "name": "wide", "endpoint": "fits-0"}], deploy=True)[1]
    assert (found.status, found.endpoint) == ("registered", None)
    assert isinstance(found.error, Refused)


def test_versions_become_members_of_a_family(client: tsavo.Client, folder: Path) -> None:
    run(client, rows("parent-", 1), folder=folder, deploy=True)
    listed = [{**row, "segment": f"00{at}"} for at, row in enumerate(rows("shop-", 3))]
    refused = run(client, listed[:1], folder=folder, family="parent-0")[1]
    assert refused.status == "registered"
    assert isinstance(refused.error, Refused)  # it is no family yet
    client._console.post("/api/families/parent-0/make", {"key": "shop"})
    found = run(client, [*listed, rows("none-", 1)[0]], folder=folder, family="parent-0")
    assert [found[row].segment for row in (1, 2, 3)] == ["000", "001", "002"]
    assert [found[row].status for row in (1, 2, 3, 4)] == ["known", "registered", "registered", "failed"]
    members = client._console.get("/api/families/parent-0/members")
    assert {one["segment"]: one["version"]["model"] for one in members["items"]} == {
        "000": "shop-0",
        "001": "shop-1",
        "002": "shop-2",
    }


def test_rows_come_from_where_there_is_no_end(client: tsavo.Client, folder: Path) -> None:
    """An endless list is worked off as it comes: nothing waits for its end."""

    def endless() -> Iterator[dict[str, Any]]:
        at = 0
        while True:
            yield {"source": folder / f"m{at % 3}.skops", "name": f"endless-{at}"}
            at += 1

    results = client.register_many(endless())
    assert next(results).status == "registered"
    results.close()  # type: ignore[attr-defined] # it is a generator


def test_what_contradicts_itself_is_refused_before_anything_is_sent(
    client: tsavo.Client, folder: Path
) -> None:
    with pytest.raises(Invalid, match="either deploy or family"):
        client.register_many(folder, deploy=True, family="x")
    found = run(client, rows("seg-", 1, segment="7"), folder=folder)[1]
    assert isinstance(found.error, Invalid)
    assert found.error.field == "segment"
