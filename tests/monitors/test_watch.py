"""The monitors over a real lake and registry, interrupted and not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsavo.alerts import list_alerts, raise_alerts
from tsavo.journal import JournalWriter
from tsavo.lake import Lake
from tsavo.monitors import Watch, findings_of
from tsavo.registry import add_model, add_version, get_route, get_version, migrate, save_route
from tsavo.storage import ArtifactStore, Connection, Database, IdSource, SystemClock
from tsavo.vocabulary import (
    Challenger,
    DecisionRecord,
    Field,
    Finding,
    Lineage,
    Model,
    OutcomeRecord,
    Output,
    Reference,
    Route,
    Signature,
    Tensor,
    Version,
    VersionRef,
    decision_id,
    encode_record,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIGNATURE = Signature(
    (Field("x", "float64"), Field("y", "float64")),
    (Output("label", "int64"), Output("probabilities", "float64", 2)),
    "binary",
    (0, 1),
)


def answers(matrix: Any) -> tuple[Any, Any]:
    late = 1 / (1 + np.exp(-matrix.sum(axis=1)))
    return (late > 0.5).astype(np.int64), np.column_stack([1 - late, late])


class Home:
    """A registry, a lake and an endpoint ``e`` with a champion that has reference data."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.clock = SystemClock()
        self.database = Database(f"sqlite:///{folder / 'registry.db'}")
        migrate(self.database)
        self.artifacts = ArtifactStore(folder / "artifacts", folder / "cache")
        (folder / "journal").mkdir()
        self.journal = JournalWriter(folder / "journal" / "gateway-0.db")
        self.lake = Lake(folder / "lake", folder / "journal", self._signature)
        self.new_id = IdSource(self.clock).new
        self.random = np.random.default_rng(0)
        self._register()
        self.watch = self.new_watch()

    def _signature(self, model: str, number: int) -> Signature:
        with self.database.read() as connection:
            return get_version(connection, VersionRef(model, number)).signature

    def _register(self) -> None:
        matrix = self.random.normal(size=(2000, 2))
        label, probabilities = answers(matrix)
        table = pa.table(
            {
                "x": matrix[:, 0],
                "y": matrix[:, 1],
                "target": (self.random.random(2000) < probabilities[:, 1]).astype(int),
                "prediction.label": label,
                "prediction.probabilities.0": probabilities[:, 0],
                "prediction.probabilities.1": probabilities[:, 1],
            }
        )
        sink = io.BytesIO()
        pq.write_table(table, sink)
        reference = Reference(self.artifacts.put(sink.getvalue()), 2000, "target")
        lineage = Lineage("me", "m", "skops", "0" * 64, "scikit-learn")
        with self.database.begin() as connection:
            add_model(connection, Model("m", "me", NOW))
            for digest in ("1", "2"):
                version = Version(
                    "m", 0, digest * 64, "a" * 64, 1, "onnx", SIGNATURE, lineage, (), NOW, reference
                )
                add_version(connection, version)
            save_route(connection, Route("e", 0, VersionRef("m", 1), changed=NOW))

    def close(self) -> None:
        self.journal.close()
        self.database.close()

    def new_watch(self) -> Watch:
        """What a keeper that was just started has."""
        return Watch(self.database, self.lake, self.artifacts, self.clock, self._raise)

    def _raise(self, connection: Connection, findings: list[Finding]) -> None:
        raise_alerts(connection, findings, NOW)

    def decide(self, requests: int, shift: float, *, shadow: bool = False, outcomes: bool = True) -> None:
        """Record `requests` of five rows each, with what came of them."""
        for _ in range(requests):
            matrix = self.random.normal((shift, 0.0), size=(5, 2))
            request, time = self.new_id(), self.clock.nanoseconds()
            tensors = tuple(Tensor.of(output) for output in answers(matrix))
            roles: list[tuple[Any, int]] = [("champion", 1), *([("shadow", 2)] if shadow else [])]
            for role, number in roles:
                record = DecisionRecord(
                    request, time, "e", "m", number, role, 5, 100, (Tensor.of(matrix),), tensors
                )
                self.journal.append_blocking(encode_record(record))
            if outcomes:
                happened = (self.random.random(5) < answers(matrix)[1][:, 1]).astype(int).tolist()
                ids = [decision_id(request, row) for row in range(5)]
                self.journal.append_blocking(encode_record(OutcomeRecord(time, "e", ids, happened)))

    def look(self, watch: Watch | None = None) -> None:
        """Ship and look at all that is new."""
        self.lake.ship()
        with self.database.read() as connection:
            route = get_route(connection, "e")
        while (watch or self.watch).look(route):
            continue

    def findings(self) -> dict[tuple[str, str], Finding]:
        return {(finding.monitor, finding.subject): finding for finding in findings_of(self.database, "e")}

    def alerts(self) -> list[Any]:
        with self.database.read() as connection:
            return list(list_alerts(connection).items)


def timeless(finding: Finding) -> Finding:
    figures = {name: figure for name, figure in finding.figures.items() if name != "since"}
    return msgspec.structs.replace(finding, time=NOW, figures=figures)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with closing(Home(tmp_path / "home")) as made:
        yield made


def test_traffic_like_the_reference_raises_no_alert(home: Home) -> None:
    home.decide(200, shift=0.0)
    home.look()
    assert home.findings()["drift", ""].rows == 1000
    assert home.findings()["performance", "brier"].rows == 1000
    assert home.alerts() == []


def test_a_shift_is_found_and_alerted_once(home: Home) -> None:
    home.decide(300, shift=1.0)
    for _ in range(3):
        home.look()
        home.decide(20, shift=1.0)
    drift = [alert for alert in home.alerts() if alert.monitor == "drift"]
    assert len(drift) == 1
    assert "reference" in drift[0].text
    assert drift[0].text.endswith(": x.")
    assert home.findings()["drift", "x"].evidence > home.findings()["drift", "y"].evidence  # type: ignore[operator]


def test_a_keeper_that_is_killed_at_any_round_finds_the_same(tmp_path: Path) -> None:
    """Each round of one keeper is cut short before its save, and done again by a new one."""
    with closing(Home(tmp_path / "whole")) as whole, closing(Home(tmp_path / "cut")) as cut:
        compare_killed_with_whole(whole, cut)


def compare_killed_with_whole(whole: Home, cut: Home) -> None:
    for number in range(4):
        for home in (whole, cut):
            home.decide(40, shift=0.3 * number)
        whole.look()
        fragile = cut.new_watch()

        def fails(*_: Any) -> None:
            raise ConnectionError("the keeper is killed here")

        fragile._save_findings = fails
        cut.lake.ship()
        with pytest.raises(ConnectionError):
            cut.look(fragile)
        cut.look(cut.new_watch())
    # The two homes decided at different moments; all but those moments is the same.
    first, second = (
        {key: timeless(home.findings()[key]) for key in home.findings()} for home in (whole, cut)
    )
    assert first.keys() == second.keys()
    assert {key: first[key] for key in first if key[0] != "latency"} == {
        key: second[key] for key in second if key[0] != "latency"
    }


def test_a_shadow_is_compared_and_the_champions_monitors_go_on(home: Home) -> None:
    home.decide(50, shift=0.0)
    home.look()
    with home.database.begin() as connection:
        route = get_route(connection, "e")
        # Who answers a share of the requests itself is nobody to compare on the same decisions.
        shadow = (Challenger(VersionRef("m", 3), "share", 0.1), Challenger(VersionRef("m", 2)))
        save_route(connection, msgspec.structs.replace(route, challengers=shadow, changed=NOW))
    home.decide(100, shift=0.0, shadow=True)
    home.look()
    assert home.findings()["drift", ""].rows == 750
    comparisons = [finding for key, finding in home.findings().items() if key[0] == "comparison"]
    assert {finding.subject for finding in comparisons} == {"m@2 brier", "m@2 error_rate"}
    for comparison in comparisons:
        assert comparison.rows == 500
        # Both versions say the same: the interval holds 0, however often one looks.
        assert comparison.low is not None
        assert comparison.high is not None
        assert comparison.low <= 0 <= comparison.high


def test_a_new_champion_starts_with_new_monitors(home: Home) -> None:
    home.decide(50, shift=0.0)
    home.look()
    with home.database.begin() as connection:
        route = get_route(connection, "e")
        save_route(connection, msgspec.structs.replace(route, champion=VersionRef("m", 2), changed=NOW))
    home.look()
    home.decide(10, shift=0.0)
    home.look()
    # Only what the old champion did came meanwhile, and that is not the new one's; latency is the endpoint's.
    others = [finding for finding in home.findings().values() if finding.monitor != "latency"]
    assert [finding for finding in others if finding.rows] == []
