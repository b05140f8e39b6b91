"""Registering a real file, in the real worker process: once on both databases, the rest on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.examples import SteppingClock
from tsavo.actions import ControlPlane, Registration, register
from tsavo.governance import Principal, Right, list_audit, local_owner
from tsavo.registry import get_model, list_versions, migrate
from tsavo.runtimes import Environments
from tsavo.storage import ArtifactStore, Database, file_digest
from tsavo.vocabulary import Brief, Forbidden, Invalid, NotFound, TsavoError, Unreadable, Untrusted

ADA = local_owner("ada")


def fitted(seed: int = 0) -> tuple[LogisticRegression, pa.Table]:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(200, 2))
    target = (rows.sum(axis=1) + random.normal(size=200) > 0).astype(int)
    table = pa.table({"a": rows[:, 0], "b": rows[:, 1], "target": target})
    return LogisticRegression().fit(table.select(["a", "b"]).to_pandas(), target), table


@pytest.fixture
def order(tmp_path: Path) -> Registration:
    """A skops file with its reference."""
    model, table = fitted()
    skops.io.dump(model, tmp_path / "model.skops")
    pq.write_table(table, tmp_path / "reference.parquet")
    return Registration(
        model="credit",
        source=tmp_path / "model.skops",
        source_name="my model.skops",
        reference=tmp_path / "reference.parquet",
        target="target",
        code_commit="abc-dirty",
        brief=Brief(problem="late?"),
    )


@pytest.fixture
def sqlite(tmp_path: Path, clock: SteppingClock) -> Iterator[ControlPlane]:
    """A control plane on SQLite."""
    database = Database(f"sqlite:///{tmp_path / 'registry.db'}")
    migrate(database)
    (tmp_path / "work").mkdir()
    yield ControlPlane(
        database,
        ArtifactStore(tmp_path / "kept", tmp_path / "cache"),
        clock,
        tmp_path / "work",
        Environments(tmp_path / "environments"),
        tmp_path / "runtimes",
    )
    database.close()


def versions(database: Database) -> int:
    with database.read() as connection:
        return list_versions(connection, "credit").total


def test_a_file_becomes_a_version_with_all_that_is_known_about_it(
    plane: ControlPlane, order: Registration
) -> None:
    registered = register(plane, ADA, order)
    version = registered.version
    assert registered.new
    assert str(version.ref) == "credit@1"
    assert [field.name for field in version.signature.inputs] == ["a", "b"]
    assert version.checks
    assert all(check.passed for check in version.checks)
    lineage = version.lineage
    assert (lineage.registered_by, lineage.source_name, lineage.source_format) == (
        "ada",
        "my model.skops",
        "skops",
    )
    assert (lineage.code_commit, lineage.trusted_by) == ("abc-dirty", None)
    assert lineage.source_digest == file_digest(order.source)
    assert order.reference is not None
    assert lineage.data_digest == file_digest(order.reference)
    assert "scikit-learn" in lineage.libraries
    for digest in (version.artifact, lineage.source_digest, version.reference and version.reference.digest):
        assert digest
        plane.artifacts.verify(digest)
    assert version.reference is not None
    assert (version.reference.rows, version.reference.target) == (200, "target")
    with plane.database.read() as connection:
        assert get_model(connection, "credit").brief.problem == "late?"
        (entry,) = list_audit(connection).items
    assert (entry.who, entry.action, entry.subject) == ("ada", "version.register", "version:credit@1")
    assert list(plane.work.iterdir()) == []


def test_the_same_again_is_the_same_version(sqlite: ControlPlane, order: Registration) -> None:
    first = register(sqlite, ADA, order)
    again = register(sqlite, ADA, order)
    assert (again.new, again.version) == (False, first.version)
    assert versions(sqlite.database) == 1


def test_a_pickle_needs_a_person_who_is_then_named(
    sqlite: ControlPlane, order: Registration, tmp_path: Path
) -> None:
    joblib.dump(fitted()[0], tmp_path / "model.joblib")
    given = {
        "model": "credit",
        "source": tmp_path / "model.joblib",
        "source_name": "m",
        "reference": order.reference,
    }
    with pytest.raises(Untrusted):
        register(sqlite, ADA, Registration(**given, target="target"))  # type: ignore[arg-type]
    trusted = Registration(**given, target="target", trusted=True)  # type: ignore[arg-type]
    with pytest.raises(Forbidden):
        register(sqlite, Principal("eve", frozenset(Right) - {Right.TRUST}), trusted)
    assert register(sqlite, ADA, trusted).version.lineage.trusted_by == "ada"


def test_without_the_right_nothing_is_read(sqlite: ControlPlane, order: Registration) -> None:
    with pytest.raises(Forbidden):
        register(sqlite, Principal("eve", frozenset(Right) - {Right.REGISTER}), order)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", Unreadable), (b"not a model", Unreadable), (b"PK\x03\x04" + bytes(100), TsavoError)],
)
def test_what_cannot_be_registered_leaves_nothing(
    sqlite: ControlPlane, order: Registration, content: bytes, kind: type[TsavoError]
) -> None:
    order.source.write_bytes(content)
    with pytest.raises(kind):
        register(sqlite, ADA, order)
    with sqlite.database.read() as connection:
        with pytest.raises(NotFound):
            get_model(connection, "credit")
        assert list_audit(connection).total == 0
    assert list(sqlite.work.iterdir()) == []


def test_a_bad_name_is_refused_before_the_file_is_opened(sqlite: ControlPlane, tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        register(sqlite, ADA, Registration(model="../x", source=tmp_path / "nowhere", source_name="x"))
