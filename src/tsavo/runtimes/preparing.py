"""Inside the worker: one preparation from start to end, from a source file to the files of a version."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tsavo.formats.opening import OpenedSource, open_source, original_in
from tsavo.runtimes.jobs import PrepareJob, WorkerAnswer
from tsavo.vocabulary import Invalid, TsavoError

if TYPE_CHECKING:
    from tsavo.formats.originals import Original
    from tsavo.runtimes.describing import PreparedVersion
    from tsavo.runtimes.reference import ReferenceRows

__all__ = ["ARTIFACT", "GOLDEN", "REFERENCE", "do", "installed_libraries"]

ARTIFACT: Final = "artifact.onnx"
REFERENCE: Final = "reference.parquet"
GOLDEN: Final = "golden.parquet"

# A Python worker answers more slowly than a compiled model: fewer rows say enough.
_MOST_UNCOMPILED: Final = 1_000
_LIBRARIES: Final = (
    "scikit-learn",
    "numpy",
    "scipy",
    "pandas",
    "skl2onnx",
    "onnx",
    "onnxruntime",
    "skops",
    "joblib",
    "cloudpickle",
    "xgboost",
    "xgboost-cpu",
    "lightgbm",
    "catboost",
    "statsmodels",
    "torch",
)


def do(job: PrepareJob, folder: Path) -> WorkerAnswer:
    """Prepare a version; its files are left in `folder`.

    Raises
    ------
    TsavoError
        When the source, the reference or the hints are wrong, or the model cannot be served.
    """
    opened = open_source(job.source, job.format, folder, trusted=job.trusted, hints=job.hints)
    if job.remote is None and (lacking := _lacking(opened.hints.requirements)):
        return WorkerAnswer(
            needs=lacking, requirements=opened.hints.requirements, wanted_python=opened.hints.python
        )
    if opened.format == "onnx":
        from tsavo.runtimes.onnx_files import prepare_onnx

        inner = msgspec.structs.replace(
            job, source=opened.path, format="onnx", hints=opened.hints, reference=_reference_of(job, opened)
        )
        version, reference, framework = prepare_onnx(inner, folder / ARTIFACT)
    else:
        original = _original(job, opened)
        reference = _reference(job, opened, original)
        version = _version(job, opened, original, reference, folder / ARTIFACT)
        framework = original.framework
    _write_reference(version, reference, folder / REFERENCE)
    from tsavo.runtimes.golden import write_golden

    # Asked for as they will be asked for again: a library may round otherwise in a batch of another size.
    golden = msgspec.structs.replace(version.golden, given=version.answer(version.golden.columns))
    return WorkerAnswer(
        signature=version.signature,
        runtime=version.runtime,
        reason=version.reason,
        reference_rows=0 if reference.generated else reference.rows,
        golden_rows=write_golden(golden, version.signature, folder / GOLDEN),
        checks=version.checks,
        libraries=dict(installed_libraries()),
        python=platform.python_version(),
        framework=framework,
        requirements=opened.hints.requirements if job.remote is not None else (),
        wanted_python=opened.hints.python if job.remote is not None else None,
    )


def _lacking(requirements: tuple[str, ...]) -> tuple[str, ...]:
    if not requirements:
        return ()
    from tsavo.runtimes.requirements import unsatisfied

    return tuple(unsatisfied(requirements))


def _original(job: PrepareJob, opened: OpenedSource) -> Original:
    if job.remote is not None:
        from tsavo.runtimes.python_worker.original import RemoteOriginal

        return RemoteOriginal(socket.socket(fileno=job.remote))
    return original_in(opened, trusted=job.trusted)


def _reference_of(job: PrepareJob, opened: OpenedSource) -> Path | None:
    return job.reference if job.reference is not None else opened.example


def _reference(job: PrepareJob, opened: OpenedSource, original: Original) -> ReferenceRows:
    from tsavo.runtimes.reference import declared_rows, generated_rows, read_declared, read_reference

    path = _reference_of(job, opened)
    if path is not None:
        if original.declared is not None:
            rows = read_declared(path, job.target, original.declared)
            # An example shows what rows look like; to compare live traffic with, it is far too small.
            return rows if job.reference is not None else msgspec.structs.replace(rows, generated=True)
        return read_reference(path, job.target, original.names, original.columns)
    if original.declared is not None:
        return declared_rows(original.declared)
    if original.wants_text:
        raise Invalid(
            "the model takes text, and there are no rows to see which columns",
            field="reference",
            expected="rows of the training data",
            next_step="give them with --reference",
        )
    if original.columns is None and original.names is None:
        raise Invalid(
            "the model does not say how many columns it takes",
            field="reference",
            expected="a fitted model, or rows of its training data",
            next_step="give rows of the training data with --reference",
        )
    names = original.names or [f"x{at}" for at in range(original.columns or 0)]
    return generated_rows(names, ["float64"] * len(names))


def _version(
    job: PrepareJob, opened: OpenedSource, original: Original, reference: ReferenceRows, artifact: Path
) -> PreparedVersion:
    from tsavo.runtimes.compiling import compile_checked
    from tsavo.runtimes.describing import MAX_COMPARED, describe
    from tsavo.runtimes.python_versions import served_as_it_is

    if job.runtime == "python" or job.remote is not None:
        reason = "asked for" if job.remote is None else "it needs other libraries than Tsavo's own"
        described = describe(original, reference, opened.hints, _MOST_UNCOMPILED)
        return served_as_it_is(original, described, reason)
    described = describe(original, reference, opened.hints, MAX_COMPARED)
    try:
        return compile_checked(original, described, artifact)
    except TsavoError as refusal:
        if job.runtime == "onnx":
            raise
        artifact.unlink(missing_ok=True)
        return served_as_it_is(original, described, _why(refusal))


def _why(refusal: TsavoError) -> str:
    """The refusal in one line, for a version that is served all the same."""
    found = f" ({refusal.found})" if isinstance(refusal.found, str) else ""
    return f"{refusal.reason}{found}"[:300]


def _write_reference(version: PreparedVersion, reference: ReferenceRows, path: Path) -> None:
    """Write the reference rows with the answers of the runtime that will serve."""
    import pyarrow.parquet

    from tsavo.formats.tables import table_with_predictions

    if reference.generated:
        return
    answers = version.answer(reference.columns)
    outputs = [answers[output.name] for output in version.signature.outputs]
    table = table_with_predictions(version.signature, reference.columns, outputs, reference.target)
    pyarrow.parquet.write_table(table, path, compression="zstd")


@cache
def installed_libraries() -> dict[str, str]:
    """Distribution name -> version of what may have a say in a model's answers; looked up once in a process."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
