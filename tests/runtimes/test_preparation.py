"""Through the real worker process: the stranger's model of the acceptance test, and everything hostile."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skops import io as skops_io

from tsavo.formats import sniff
from tsavo.runtimes import OnnxRuntime, Prepared, PrepareJob, Runtime, WorkerLimits, prepare
from tsavo.runtimes.confinement import support
from tsavo.vocabulary import (
    Batch,
    Disagreement,
    Invalid,
    Refused,
    SourceFormat,
    TsavoError,
    Unreadable,
    Untrusted,
)

ROWS = 1_000
NUMBERS, TEXTS = ["age", "income", "rate"], ["city", "job"]


def _strangers_table(seed: int) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 80, ROWS),
            "income": random.lognormal(10, 1, ROWS),
            "city": random.choice(["Bern", "Genève", "Ham"], ROWS),
            "rate": random.normal(size=ROWS).round(3),
            "job": random.choice(["cook", "smith", "monk"], ROWS),
        }
    )
    score = frame["age"] / 40 + frame["rate"] + (frame["city"] == "Bern") + random.normal(size=ROWS)
    frame.loc[random.random(ROWS) < 0.1, "income"] = np.nan
    frame.loc[random.random(ROWS) < 0.1, "city"] = None
    frame.loc[random.random(ROWS) < 0.05, "job"] = np.nan
    return frame, (score > 1.8).to_numpy().astype(np.int64)


def _strangers_pipeline() -> Pipeline:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer([("numbers", numbers, NUMBERS), ("texts", texts, TEXTS)])
    return make_pipeline(columns, GradientBoostingClassifier(random_state=0))


def _batch(frame: pd.DataFrame, prepared: Prepared) -> Batch:
    columns = []
    for field in prepared.signature.inputs:
        if field.dtype == "string":
            values = np.empty(len(frame), dtype=object)
            values[:] = [None if pd.isna(value) else value for value in frame[field.name]]
            columns.append(values)
        else:
            columns.append(frame[field.name].to_numpy())
    return Batch(len(frame), None, tuple(columns))


def _artifact(prepared: Prepared) -> Path:
    assert prepared.artifact is not None
    return prepared.artifact


class Stranger:
    """The acceptance pipeline, prepared once."""

    def __init__(self, folder: Path) -> None:
        self.frame, target = _strangers_table(seed=1)
        self.pipeline = _strangers_pipeline().fit(self.frame, target)
        self.target = target
        self.source = folder / "model.skops"
        skops_io.dump(self.pipeline, self.source)
        self.reference = folder / "reference.parquet"
        self.frame.assign(bought=target).to_parquet(self.reference)
        job = PrepareJob(self.source, "skops", self.reference, "bought")
        self.prepared = prepare(job, folder)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    return Stranger(tmp_path_factory.mktemp("stranger"))


def test_a_strangers_pipeline_answers_as_predict_proba_on_rows_it_never_saw(stranger: Stranger) -> None:
    frame, _ = _strangers_table(seed=2)
    frame.loc[3, "city"] = "Atlantis"
    runtime = OnnxRuntime(_artifact(stranger.prepared), stranger.prepared.signature)
    assert isinstance(runtime, Runtime)
    label, probabilities = runtime.predict(_batch(frame, stranger.prepared))
    np.testing.assert_allclose(probabilities, stranger.pipeline.predict_proba(frame), atol=1e-12)
    np.testing.assert_array_equal(label, stranger.pipeline.predict(frame))
    for row in (0, 3, 500):
        single = frame.iloc[[row]]
        np.testing.assert_array_equal(
            runtime.predict(_batch(single, stranger.prepared))[1][0], probabilities[row]
        )


def test_its_signature_says_what_the_pipeline_takes(stranger: Stranger) -> None:
    signature = stranger.prepared.signature
    fields = {field.name: field for field in signature.inputs}
    assert [field.name for field in signature.inputs] == stranger.frame.columns.tolist()
    assert [fields[name].dtype for name in fields] == ["int64", "float64", "string", "float64", "string"]
    # 'rate' is never missing in the reference, but its imputer takes a missing value.
    assert [fields[name].nullable for name in fields] == [False, True, True, True, True]
    assert fields["city"].categories == ("Bern", "Genève", "Ham")
    assert fields["city"].unseen == "flag"
    assert (fields["age"].low, fields["age"].high) == (stranger.frame.age.min(), stranger.frame.age.max())
    assert [(output.name, output.width) for output in signature.outputs] == [
        ("label", None),
        ("probabilities", 2),
    ]
    assert (signature.task, signature.classes) == ("binary", (0, 1))


def test_its_checks_and_libraries_are_reported(stranger: Stranger) -> None:
    checks = {check.name: check for check in stranger.prepared.checks}
    figures = checks["agreement"].figures
    assert figures["rows"] == ROWS
    assert figures["edge_rows"] > 0
    assert not figures["generated"]
    assert figures["max_abs_difference"]["probabilities"] < 1e-12
    assert checks["load"].figures["bytes"] == _artifact(stranger.prepared).stat().st_size
    assert stranger.prepared.libraries["scikit-learn"]
    assert stranger.prepared.framework.startswith("scikit-learn ")


def test_its_reference_holds_inputs_target_and_predictions(stranger: Stranger) -> None:
    assert stranger.prepared.reference is not None
    table = pq.read_table(stranger.prepared.reference)
    assert stranger.prepared.reference_rows == table.num_rows == ROWS
    assert table.column_names == [
        *stranger.frame.columns,
        "bought",
        "prediction.label",
        "prediction.probabilities.0",
        "prediction.probabilities.1",
    ]
    np.testing.assert_array_equal(table["bought"].to_numpy(), stranger.target)
    expected = stranger.pipeline.predict_proba(stranger.frame)[:, 1]
    np.testing.assert_allclose(table["prediction.probabilities.1"].to_numpy(), expected, atol=1e-12)
    assert table["city"].null_count == int(stranger.frame.city.isna().sum())


def test_a_text_model_without_reference_asks_for_one(stranger: Stranger, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refusal:
        prepare(PrepareJob(stranger.source, "skops"), tmp_path)
    assert "--reference" in (refusal.value.next_step or "")


def test_a_number_model_without_reference_is_checked_on_made_up_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(200, 3))
    model = LogisticRegression().fit(inputs, np.where(inputs[:, 0] > 0, "yes", "no"))
    source = tmp_path / "model.joblib"
    joblib.dump(model, source)
    prepared = prepare(PrepareJob(source, sniff(source.read_bytes()), trusted=True), tmp_path)
    assert prepared.reference is None
    assert prepared.checks[0].figures["generated"]
    assert [(field.name, field.nullable) for field in prepared.signature.inputs] == [
        ("x0", False),
        ("x1", False),
        ("x2", False),
    ]
    assert prepared.signature.classes == ("no", "yes")
    label, probabilities = OnnxRuntime(_artifact(prepared), prepared.signature).predict(Batch(200, inputs))
    np.testing.assert_array_equal(label, model.predict(inputs))
    np.testing.assert_allclose(probabilities, model.predict_proba(inputs), atol=1e-12)


class Liar:
    """Pickles as a linear model whose ``predict`` differs from its own coefficients."""

    def __reduce__(self) -> Any:
        program = (
            "import numpy\n"
            "from sklearn.linear_model import LinearRegression\n"
            "model = LinearRegression().fit(numpy.array([[0.0], [1.0]]), numpy.array([0.0, 1.0]))\n"
            "model.predict = lambda rows: numpy.asarray(rows)[:, 0] + (numpy.asarray(rows)[:, 0] > 2) * 0.5\n"
        )
        return _evaluate, (f"(lambda scope: (exec({program!r}, scope), scope['model'])[1])({{}})",)


_evaluate = eval


def test_a_disagreement_shows_the_first_rows_that_differ(tmp_path: Path) -> None:
    source, reference = tmp_path / "model.pkl", tmp_path / "reference.csv"
    source.write_bytes(pickle.dumps(Liar()))
    reference.write_text("size\n" + "\n".join(str(float(size)) for size in range(6)) + "\n")
    with pytest.raises(Disagreement) as refusal:
        prepare(PrepareJob(source, "pickle", reference, trusted=True, runtime="onnx"), tmp_path)
    rows = refusal.value.details["rows"]
    assert [row["row"] for row in rows] == [3, 4, 5]
    assert rows[0]["inputs"] == {"size": 3.0}
    assert rows[0]["original"]["value"] == pytest.approx(3.5)
    assert rows[0]["compiled"]["value"] == pytest.approx(3.0)


class Runs:
    """A pickle that runs a line of Python when it is loaded."""

    def __init__(self, line: str) -> None:
        self.line = line

    def __reduce__(self) -> Any:
        return exec, (self.line,)


def _hostile(folder: Path, line: str) -> Path:
    path = folder / "hostile.pkl"
    path.write_bytes(pickle.dumps(Runs(line)))
    return path


def test_code_is_not_run_unless_somebody_vouched_for_it(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    source = _hostile(tmp_path, f"open({str(canary)!r}, 'w').close()")
    with pytest.raises(Untrusted) as refusal:
        prepare(PrepareJob(source, "pickle"), tmp_path)
    assert "--trust" in (refusal.value.next_step or "")
    assert not canary.exists()
    # It was not even handed to a worker.
    assert not list(tmp_path.glob("prepare-*"))


def test_calling_a_pickle_by_another_name_does_not_load_it(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    source = _hostile(tmp_path, f"open({str(canary)!r}, 'w').close()")
    disguises: tuple[SourceFormat, ...] = ("skops", "onnx")
    for disguise in disguises:
        with pytest.raises(Unreadable):
            prepare(PrepareJob(source, disguise), tmp_path)
    assert not canary.exists()


def test_trusted_code_sees_no_secret_and_runs_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSAVO_SECRET", "the password")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the key")
    line = (
        "import os, resource, pathlib, sys; "
        "pathlib.Path('seen').write_text(repr([os.getpid(), os.getsid(0), os.getpgrp(), os.getcwd(), "
        "dict(os.environ), resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_AS), "
        "sys.stdin.read()]))"
    )
    with pytest.raises(Invalid, match="holds no model"):
        prepare(PrepareJob(_hostile(tmp_path, line), "pickle", trusted=True), tmp_path)
    pid, session, group, folder, environment, cores, memory, words = eval(_left_behind(tmp_path, "seen"))
    assert pid == session == group
    assert Path(folder).parent == tmp_path.resolve()
    assert not {name for name in environment if "SECRET" in name}
    assert "the key" not in repr(environment)
    assert cores == (0, 0)
    # What its libraries have mapped comes on top.
    assert WorkerLimits().memory_bytes <= memory[1] < 2 * WorkerLimits().memory_bytes
    assert words == ""


def _left_behind(work: Path, name: str) -> str:
    """What a worker wrote into its own folder."""
    (path,) = work.glob(f"prepare-*/{name}")
    return path.read_text()


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("import time; time.sleep(600)", Refused, "too long"),
        ("import os; os._exit(3)", Unreadable, "code 3"),
        ("import os; os._exit(0)", Unreadable, "without an answer"),
        ("import os; os.kill(os.getpid(), 11)", Unreadable, "SIGSEGV"),
        ("raise SystemExit('so long')", Unreadable, "without an answer"),
        ("b = bytearray(8 << 30)", Refused, "more memory"),
        ("while True: pass", Refused, "processor time"),
        ("open('big', 'wb').write(bytes(2 << 20))", Unreadable, "too large"),
    ],
)
def test_a_worker_that_misbehaves_is_contained(
    tmp_path: Path, line: str, error: type[TsavoError], words: str
) -> None:
    endless = "while" in line
    limits = WorkerLimits(
        wall_seconds=60.0 if endless else 3.0, cpu_seconds=1 if endless else 60, file_bytes=1 << 20
    )
    with pytest.raises(error) as refusal:
        prepare(PrepareJob(_hostile(tmp_path, line), "pickle", trusted=True), tmp_path, limits)
    assert words in str(refusal.value)
    assert "Traceback" not in str(refusal.value)


@pytest.mark.parametrize("leave", ["", "os.setsid()", "os.setpgid(0, 0)"])
def test_what_the_worker_started_ends_with_it(tmp_path: Path, leave: str) -> None:
    """A child that beats for ever, and tries to leave the worker's group: it stops when the worker ends."""
    program = f"""
import os, time
try:
    child = os.fork()
except OSError:
    open('beat', 'w').write('refused')
else:
    if child == 0:
        try:
            {leave or "pass"}
        except OSError:
            pass
        while True:
            with open('beat', 'a') as beat:
                beat.write('.')
            time.sleep(0.005)
    while not os.path.exists('beat'):
        time.sleep(0.005)
"""
    with pytest.raises(Invalid):
        prepare(PrepareJob(_hostile(tmp_path, program), "pickle", trusted=True), tmp_path)
    then = _left_behind(tmp_path, "beat")
    time.sleep(0.1)
    assert _left_behind(tmp_path, "beat") == then
    # Where the kernel cannot count processes none is started.
    assert (then == "refused") == (support()["seccomp"] and not support()["processes"])


def test_a_worker_that_talks_without_end_does_not_block(tmp_path: Path) -> None:
    line = "import sys; sys.stdout.write('x' * (4 << 20)); print(); print('last words'); raise SystemExit(1)"
    with pytest.raises(Unreadable) as refusal:
        prepare(PrepareJob(_hostile(tmp_path, line), "pickle", trusted=True), tmp_path)
    assert refusal.value.found == "last words"


def test_an_answer_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """Trusted code that writes the worker's answer itself, with links to files that it must not hand out."""
    secret = tmp_path / "secret"
    secret.write_text("the password")
    answer = '{"signature":{"inputs":[],"outputs":[],"task":"generic"},"reference_rows":0}'
    for link in ("symlink", "link"):
        line = (
            f"import os; os.{link}({str(secret)!r}, 'artifact.onnx'); "
            f"open('answer.json', 'w').write({answer!r}); os._exit(0)"
        )
        with pytest.raises(Unreadable):
            prepare(PrepareJob(_hostile(tmp_path, line), "pickle", trusted=True), tmp_path)


def test_truncated_and_flipped_files(stranger: Stranger, tmp_path: Path) -> None:
    whole = pickle.dumps(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))
    skops = stranger.source.read_bytes()
    flipped = bytearray(skops)
    flipped[len(skops) // 2] ^= 0xFF
    cases: list[tuple[SourceFormat, bytes]] = [
        ("pickle", whole[: len(whole) // 2]),
        ("joblib", b"\x78\x9c" + bytes(64)),
        ("skops", skops[: len(skops) // 2]),
        ("skops", bytes(flipped)),
        ("onnx", _artifact(stranger.prepared).read_bytes()[:5000]),
        ("onnx", b"\x08\x07"),
    ]
    for source_format, content in cases:
        source = tmp_path / "broken"
        source.write_bytes(content)
        with pytest.raises(Unreadable) as refusal:
            prepare(PrepareJob(source, source_format, trusted=True), tmp_path)
        assert refusal.value.field == "source"
