"""Verifying real versions in real worker processes, beside other libraries too."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

from tests.examples import SteppingClock, keep_versions
from tsavo.actions import ControlPlane, Registration, register, verify, verify_next
from tsavo.governance import Principal, Right, local_owner
from tsavo.registry import list_verifications, migrate
from tsavo.registry.tables import versions as versions_table
from tsavo.runtimes import Environments
from tsavo.storage import ArtifactStore, Database
from tsavo.vocabulary import Forbidden, Golden, Invalid, NotFound, Verification, Version, VersionRef

ADA = local_owner("ada")


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("plane")
    database = Database(f"sqlite:///{folder / 'registry.db'}")
    migrate(database)
    (folder / "work").mkdir()
    yield ControlPlane(
        database,
        ArtifactStore(folder / "kept", folder / "cache"),
        SteppingClock(),
        folder / "work",
        Environments(folder / "environments"),
        folder / "runtimes",
    )
    assert list((folder / "work").iterdir()) == []
    database.close()


def registered(plane: ControlPlane, folder: Path, model: str, fitted: Any, **options: Any) -> Version:
    random = np.random.default_rng(0)
    rows = random.normal(size=(80, 2))
    target = rows.sum(axis=1) + random.normal(size=80) > 0
    skops.io.dump(fitted.fit(rows, target), folder / "model.skops")
    order = Registration(model=model, source=folder / "model.skops", source_name="model.skops", **options)
    return register(plane, ADA, order).version


@pytest.fixture
def version(plane: ControlPlane, tmp_path: Path, request: pytest.FixtureRequest) -> Version:
    return registered(
        plane, tmp_path, request.node.name[5:60].lower().replace("_", "-"), LogisticRegression()
    )


def kept(plane: ControlPlane, ref: VersionRef) -> tuple[Verification, ...]:
    with plane.database.read() as connection:
        return list_verifications(connection, ref).items


def with_golden(plane: ControlPlane, version: Version, **columns: Any) -> None:
    """Other golden rows for a version, as if it had answered otherwise when it was registered."""
    assert version.golden is not None
    table = pq.read_table(plane.artifacts.path(version.golden.digest))
    for name, change in columns.items():
        values = table.column(name.replace("__", ".")).to_numpy()
        table = table.set_column(
            table.column_names.index(name.replace("__", ".")),
            name.replace("__", "."),
            pa.array(change(values)),
        )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    golden = Golden(plane.artifacts.put(sink.getvalue()), table.num_rows)
    with plane.database.begin() as connection:
        connection.execute(
            versions_table.update()
            .where(versions_table.c.model == version.model, versions_table.c.number == version.number)
            .values(golden=golden)
        )


def test_a_version_answers_as_it_did_and_that_is_kept(plane: ControlPlane, version: Version) -> None:
    found = verify(plane, ADA, version.ref)
    assert (found.verdict, found.differing, found.changed) == ("same", 0, 0)
    assert version.golden is not None
    assert found.rows == version.golden.rows > 0
    assert found.libraries["onnxruntime"] == version.lineage.libraries["onnxruntime"]
    assert (found.version, found.by, found.asked, found.against) == (
        version.ref,
        "ada",
        "runtime",
        "prediction",
    )
    assert kept(plane, version.ref) == (found,)


def test_a_version_that_is_not_compiled_is_asked_as_it_is_served(plane: ControlPlane, tmp_path: Path) -> None:
    version = registered(plane, tmp_path, "as-it-is", LogisticRegression(), runtime="python")
    found = verify(plane, ADA, version.ref)
    assert found.verdict == "same"
    assert found.libraries["scikit-learn"] == version.lineage.libraries["scikit-learn"]


def test_other_answers_are_found_with_their_rows(plane: ControlPlane, version: Version) -> None:
    def moved(values: Any) -> Any:
        changed = np.array(values)
        changed[[3, 7]] += 0.25
        return changed

    with_golden(plane, version, prediction__probabilities__0=moved)
    found = verify(plane, ADA, version.ref)
    assert (found.verdict, found.differing, found.changed) == ("changed", 2, 2)
    assert found.worst["probabilities"] == pytest.approx(0.25)
    assert [row["row"] for row in found.first] == [3, 7]
    for row in found.first:
        assert row["stored"]["probabilities"][0] - row["now"]["probabilities"][0] == pytest.approx(0.25)
        assert set(row["inputs"]) == {"x0", "x1"}
    assert not found.fine


def test_a_last_bit_is_within_the_tolerance(plane: ControlPlane, version: Version) -> None:
    with_golden(plane, version, prediction__probabilities__1=lambda values: np.nextafter(values, 2.0))
    found = verify(plane, ADA, version.ref)
    assert found.verdict == "within-tolerance"
    assert found.differing == found.rows
    assert found.changed == 0
    assert found.worst["probabilities"] == pytest.approx(1.1e-16, rel=0.1)


def test_what_the_original_said_does_not_count_for_what_serves(plane: ControlPlane, version: Version) -> None:
    with_golden(plane, version, expected__probabilities__0=lambda values: values + 1.0)
    assert verify(plane, ADA, version.ref).verdict == "same"


@pytest.mark.parametrize("what", ["golden", "artifact", "source"])
def test_a_tampered_file_is_found(plane: ControlPlane, tmp_path: Path, what: str) -> None:
    # Another one each time: equal files are kept once, and what one test spoils is spoilt for the next.
    model = GradientBoostingRegressor(n_estimators={"golden": 3, "artifact": 4, "source": 5}[what])
    version = registered(plane, tmp_path, f"tampered-{what}", model)
    assert version.golden is not None
    digest = {
        "golden": version.golden.digest,
        "artifact": version.artifact,
        "source": version.lineage.source_digest,
    }[what]
    path = plane.artifacts.path(digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    found = verify(plane, ADA, version.ref)
    assert found.verdict == "breaks"
    assert "not what was written" in found.summary
    assert digest in found.summary


def test_golden_rows_that_are_none_are_no_reason_to_fail(plane: ControlPlane, version: Version) -> None:
    with plane.database.begin() as connection:
        connection.execute(
            versions_table.update()
            .where(versions_table.c.model == version.model)
            .values(golden=Golden(plane.artifacts.put(b"PAR1 no Parquet"), 5))
        )
    found = verify(plane, ADA, version.ref)
    assert found.verdict == "breaks"
    assert "golden rows" in found.summary


def test_pages_go_through_all_versions_once(tmp_path: Path, clock: SteppingClock) -> None:
    database = Database(f"sqlite:///{tmp_path / 'many.db'}")
    migrate(database)
    (tmp_path / "work").mkdir()
    plane = ControlPlane(
        database,
        ArtifactStore(tmp_path / "kept", tmp_path / "cache"),
        clock,
        tmp_path / "work",
        Environments(tmp_path / "environments"),
        tmp_path / "runtimes",
    )
    good = registered(plane, tmp_path, "m", LogisticRegression())
    with database.begin() as connection:
        # From before golden rows, and so quick to verify.
        refs = [ref for model in ("a", "z") for ref in keep_versions(connection, model, count=60)]
    seen: list[Verification] = []
    last = None
    while True:
        page = verify_next(plane, ADA, last)
        seen += page.items
        assert (page.done, page.total) == (len(seen), 121)
        if page.last is None:
            break
        assert page.last == seen[-1].version
        last = page.last
    assert [found.version for found in seen] == sorted(
        [*refs, good.ref], key=lambda ref: (ref.model, ref.number)
    )
    verdicts = {found.version: found.verdict for found in seen}
    assert verdicts.pop(good.ref) == "same"
    assert set(verdicts.values()) == {"no-rows"}
    only = verify_next(plane, ADA, None, model="m")
    assert ([found.version for found in only.items], only.last, only.total) == ([good.ref], None, 1)
    empty = verify_next(plane, ADA, VersionRef("zz", 1))
    assert (empty.items, empty.last, empty.done, empty.total) == ((), None, 121, 121)
    database.close()


def test_who_may_not_register_may_not_verify(plane: ControlPlane, version: Version) -> None:
    reader = Principal("eve", frozenset({Right.READ}))
    with pytest.raises(Forbidden):
        verify(plane, reader, version.ref)
    with pytest.raises(Forbidden):
        verify_next(plane, reader, None)
    with pytest.raises(NotFound):
        verify(plane, ADA, VersionRef(version.model, 99))
    assert kept(plane, version.ref) == ()


def test_libraries_are_named_as_in_a_requirements_file(plane: ControlPlane, version: Version) -> None:
    for line in ("https://example.org/a.whl", "-r other.txt", "../scikit-learn", "scikit learn"):
        with pytest.raises(Invalid):
            verify(plane, ADA, version.ref, [line])
    assert kept(plane, version.ref) == ()


def test_beside_an_older_scikit_learn_a_model_breaks(plane: ControlPlane, version: Version) -> None:
    """LogisticRegression of scikit-learn 1.6 looks for `multi_class`, which later ones do not have any more."""
    present = version.lineage.libraries["scikit-learn"]
    same = verify(plane, ADA, version.ref, [f"scikit-learn=={present}"])
    assert (same.verdict, same.asked, same.against) == ("same", "original", "expected")
    older = verify(plane, ADA, version.ref, ["scikit-learn==1.6.1"])
    assert older.libraries["scikit-learn"] == "1.6.1"
    assert older.requirements == ("scikit-learn==1.6.1",)
    assert older.verdict == "breaks"
    assert "multi_class" in older.summary
    assert [found.requirements for found in kept(plane, version.ref)] == [
        older.requirements,
        same.requirements,
    ]


def test_a_library_that_there_is_not_is_a_finding(plane: ControlPlane, version: Version) -> None:
    found = verify(plane, ADA, version.ref, ["scikit-learn==0.0.1"])
    assert found.verdict == "breaks"
    assert "requirements" in found.summary


def test_a_model_whose_library_answers_otherwise_has_changed(plane: ControlPlane, tmp_path: Path) -> None:
    """A model that answers with the version of a library that it needs: in its own environment and beside another."""
    source = tmp_path / "bundle.zip"
    manifest = {"entry": "model:predict", "requirements": ["six==1.16.0", "pandas"]}
    code = "import six\n\ndef predict(table):\n    return table['a'] + int(six.__version__.split('.')[1])\n"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("tsavo-python.json", json.dumps(manifest))
        archive.writestr("model.py", code)
    reference = tmp_path / "reference.parquet"
    pq.write_table(pa.table({"a": [1.0, 2.0, 3.0]}), reference)
    order = Registration("six", source, "model:predict", reference, trusted=True)
    version = register(plane, ADA, order).version
    assert version.environment is not None
    assert "six==1.16.0" in version.environment.requirements
    own = verify(plane, ADA, version.ref)
    assert (own.verdict, own.libraries["six"]) == ("same", "1.16.0")
    other = verify(plane, ADA, version.ref, ["six==1.17.0"])
    assert (other.verdict, other.changed, other.libraries["six"]) == ("changed", 3, "1.17.0")
    assert next(iter(other.worst.values())) == 1.0
