"""Replays of real versions in real worker processes, from what a journal and a lake kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor

from tests.examples import SteppingClock
from tests.lake.scene import Scene
from tsavo.actions import (
    ControlPlane,
    Registration,
    register,
    replay_decision,
    replay_next,
    replay_requests,
)
from tsavo.governance import Principal, Right, local_owner
from tsavo.lake import Lake
from tsavo.registry import get_version, migrate
from tsavo.runtimes import Environments, OnnxRuntime
from tsavo.runtimes.fingerprint import Fingerprint, keep_fingerprint, take_fingerprint
from tsavo.storage import ArtifactStore, Clock, Database, IdSource
from tsavo.vocabulary import (
    Batch,
    DecisionRecord,
    Forbidden,
    Invalid,
    NotFound,
    Signature,
    Tensor,
    Version,
    VersionRef,
    input_tensors,
)

ADA = local_owner("ada")
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(1_000, 3))


class World:
    """A control plane, a lake, and versions whose decisions are in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock: Clock = SteppingClock()
        self.ids = IdSource(self.clock)
        self.database = Database(f"sqlite:///{folder / 'registry.db'}")
        migrate(self.database)
        (folder / "work").mkdir()
        self.plane = ControlPlane(
            self.database,
            ArtifactStore(folder / "kept", folder / "cache"),
            self.clock,
            folder / "work",
            Environments(folder / "environments"),
            folder / "runtimes",
        )
        self.scene = Scene(folder)
        self.scene.lake = Lake(self.scene.root, self.scene.journals, self.signature_of)
        self.lake = self.scene.lake

    def signature_of(self, model: str, number: int) -> Signature:
        with self.database.read() as connection:
            return get_version(connection, VersionRef(model, number)).signature

    def register(self, model: str, fitted: Any, runtime: Any = "auto") -> Version:
        path = self.folder / f"{model}.skops"
        skops.io.dump(fitted, path)
        order = Registration(model=model, source=path, source_name=path.name, runtime=runtime)
        return register(self.plane, ADA, order).version

    def answered(self, version: Version, rows: npt.NDArray[np.float64]) -> tuple[npt.NDArray[Any], ...]:
        runtime = OnnxRuntime(self.plane.artifacts.path(version.artifact), version.signature)
        return runtime.predict(Batch(len(rows), np.ascontiguousarray(rows)))

    def record(
        self,
        version: Version,
        rows: npt.NDArray[np.float64],
        outputs: Sequence[npt.NDArray[Any]],
        **more: Any,
    ) -> str:
        """Journal a request; its id."""
        request = self.ids.new()
        batch = Batch(len(rows), np.ascontiguousarray(rows))
        record = DecisionRecord(
            request,
            self.clock.nanoseconds(),
            version.model,
            version.model,
            version.number,
            more.pop("role", "champion"),
            len(rows),
            100,
            input_tensors(batch.matrix, batch.columns),
            tuple(Tensor.of(output) for output in outputs),
            **more,
        )
        self.scene.write(record)
        return request


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    assert list((world.folder / "work").iterdir()) == []
    world.database.close()


@pytest.fixture
def logistic(world: World, request: pytest.FixtureRequest) -> Version:
    """A compiled version of its own endpoint."""
    name = request.node.name.partition("[")[0][5:60].replace("_", "-")
    return world.register(name, LogisticRegression().fit(ROWS, ROWS.sum(axis=1) > 0))


def test_batches_of_any_size_come_out_the_same_before_and_after_shipping(
    world: World, logistic: Version
) -> None:
    sizes = (1, 2, 7, 100, 1_000)
    now = keep_fingerprint(take_fingerprint(), world.plane.runtimes)
    requests = [
        world.record(logistic, ROWS[:size], world.answered(logistic, ROWS[:size]), runtime=now)
        for size in sizes
    ]
    for _ in range(2):
        page = replay_next(world.plane, world.lake, ADA, logistic.model)
        assert (page.counts, page.items, page.last) == ({"same": sum(sizes)}, (), None)
        again = replay_decision(world.plane, world.lake, ADA, f"{requests[2]}:3")
        assert (again.verdict, again.rows, again.fine) == ("same", tuple(range(7)), True)
        assert (again.runtime_then, again.runtime_now, again.apart) == (now, now, {})
        world.scene.ship()
    assert replay_requests(world.plane, world.lake, ADA, logistic.model, requests[:2]).counts == {"same": 3}


def test_one_bit_is_seen_and_named(world: World, logistic: Version) -> None:
    rows = ROWS[:4]
    outputs = [output.copy() for output in world.answered(logistic, rows)]
    place = next(at for at, output in enumerate(logistic.signature.outputs) if output.name == "probabilities")
    outputs[place][2, 0] = np.nextafter(outputs[place][2, 0], 1)
    other = msgspec.structs.replace(take_fingerprint(), blas="another 1.0", features=("X86_V9",))
    then = keep_fingerprint(other, world.plane.runtimes)
    request = world.record(logistic, rows, outputs, runtime=then)
    again = replay_decision(world.plane, world.lake, ADA, f"{request}:0")
    assert (again.verdict, again.differing, again.changed) == ("within-tolerance", 1, 0)
    assert again.first[0]["row"] == 2
    assert again.first[0]["inputs"] == dict(
        zip((field.name for field in logistic.signature.inputs), ROWS[2].tolist(), strict=True)
    )
    assert again.apart is not None
    assert again.apart["blas"] == ("another 1.0", take_fingerprint().blas)
    assert "blas" in again.summary
    assert not again.fine


def test_another_answer_is_a_change(world: World, logistic: Version) -> None:
    outputs = list(world.answered(logistic, ROWS[:3]))
    outputs[0] = outputs[0][::-1].copy()
    outputs[1] = 1 - outputs[1]
    request = world.record(logistic, ROWS[:3], outputs)
    page = replay_next(world.plane, world.lake, ADA, logistic.model)
    assert page.counts == {"changed": 3}
    (found,) = page.items
    assert (found.request, found.verdict) == (request, "changed")
    assert found.first[0]["recorded"] != found.first[0]["now"]
    assert "not known" in found.summary


def test_a_model_in_a_worker_process_comes_out_the_same(world: World) -> None:
    model = KNeighborsRegressor(algorithm="kd_tree").fit(ROWS, ROWS.sum(axis=1))
    version = world.register("in-a-worker", model, "python")
    assert version.runtime == "python"
    for size in (1, 3, 50):
        world.record(version, ROWS[:size], (model.predict(ROWS[:size]),))
    assert replay_next(world.plane, world.lake, ADA, version.model).counts == {"same": 54}


def test_what_no_model_answered_is_said_to_be_that(world: World, logistic: Version) -> None:
    outputs = world.answered(logistic, ROWS[:2])
    world.record(logistic, ROWS[:2], outputs, role="fallback", flags=("fallback:plug", "constant"))
    world.record(logistic, ROWS[:2], outputs, role="fallback", flags=("fallback:error", "rules"))
    world.record(logistic, ROWS[:1], outputs[:1] + outputs[1:], role="shadow")
    page = replay_next(world.plane, world.lake, ADA, logistic.model)
    assert page.counts["not-a-model"] == 4
    assert [one.fine for one in page.items] == [True, True]


def test_a_version_that_is_damaged_is_a_finding(world: World, logistic: Version) -> None:
    request = world.record(logistic, ROWS[:1], world.answered(logistic, ROWS[:1]))
    path = world.plane.artifacts.path(logistic.artifact)
    kept = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        again = replay_decision(world.plane, world.lake, ADA, f"{request}:0")
    finally:
        path.write_bytes(kept)
    assert again.verdict == "breaks"
    assert again.summary


def test_pages_and_narrowing(world: World, logistic: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsavo.actions.replaying._PAGE_REQUESTS", 4)
    other = world.register(logistic.model, LogisticRegression(C=0.1).fit(ROWS, ROWS[:, 0] > 0))
    for at in range(10):
        version = other if at % 5 == 0 else logistic
        world.record(version, ROWS[at : at + 1], world.answered(version, ROWS[at : at + 1]))
    counts, after, pages = 0, "", 0
    while True:
        page = replay_next(world.plane, world.lake, ADA, logistic.model, after=after)
        counts, pages = counts + page.counts.get("same", 0), pages + 1
        if page.last is None:
            break
        after = page.last
    assert (counts, pages) == (10, 3)
    assert replay_next(world.plane, world.lake, ADA, logistic.model, version=other.ref).counts == {"same": 2}
    future = datetime(2200, 1, 1, tzinfo=UTC)
    assert replay_next(world.plane, world.lake, ADA, logistic.model, since=future).counts == {}


def test_what_cannot_be_replayed_is_named(world: World, logistic: Version) -> None:
    plane, lake = world.plane, world.lake
    with pytest.raises(NotFound, match="no such decision"):
        replay_decision(plane, lake, ADA, f"{world.ids.new()}:0")
    with pytest.raises(Invalid, match="not a decision id"):
        replay_decision(plane, lake, ADA, "no id")
    with pytest.raises(NotFound, match="has not recorded this request"):
        replay_requests(plane, lake, ADA, logistic.model, [world.ids.new()])
    with pytest.raises(Invalid, match="too many requests"):
        replay_requests(plane, lake, ADA, logistic.model, ["x"] * 1_001)
    with pytest.raises(Forbidden):
        replay_next(plane, lake, Principal("eve", frozenset({Right.READ})), logistic.model)


def test_what_scores_is_kept_under_its_digest(tmp_path: Path) -> None:
    from tsavo.runtimes.fingerprint import differences, read_fingerprint

    taken = take_fingerprint()
    digest = keep_fingerprint(taken, tmp_path)
    assert keep_fingerprint(taken, tmp_path) == digest
    assert read_fingerprint(digest, tmp_path) == taken
    assert read_fingerprint("0" * 16, tmp_path) is None
    assert read_fingerprint("../../etc/passwd", tmp_path) is None
    other: Fingerprint = msgspec.structs.replace(taken, libraries={**taken.libraries, "numpy": "1.0"})
    assert differences(other, taken) == {"numpy": ("1.0", taken.libraries["numpy"])}
    (tmp_path / f"{digest}.json").write_bytes(msgspec.json.encode(other))
    with pytest.raises(Exception, match="damaged"):
        read_fingerprint(digest, tmp_path)
