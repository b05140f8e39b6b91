"""The process that reads a hostile model file: ``python -m tsavo.runtimes.worker JOBDIR``.

It takes ``job.json`` from the job folder, puts limits on itself, does the work, and leaves ``answer.json`` with the
artifact and the reference beside it. It talks to nobody, and whoever started it may kill it at any moment.
"""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tsavo.formats.estimators import missing_libraries, read_estimator
from tsavo.formats.sniffing import check_trust
from tsavo.runtimes.jobs import ErrorParts, PrepareJob, WorkerAnswer, WorkerLimits
from tsavo.vocabulary import Invalid, Refused, TsavoError

if TYPE_CHECKING:
    from tsavo.runtimes.compiling import CompiledVersion
    from tsavo.runtimes.reference import ReferenceRows

__all__ = ["ANSWER", "ARTIFACT", "JOB", "REFERENCE", "WorkerOrder", "main"]

JOB: Final = "job.json"
ANSWER: Final = "answer.json"
ARTIFACT: Final = "artifact.onnx"
REFERENCE: Final = "reference.parquet"

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
)


class WorkerOrder(msgspec.Struct, frozen=True):
    """What is in ``job.json``."""

    job: PrepareJob
    limits: WorkerLimits


def main(folder: Path) -> int:
    """Do the job in `folder`; 0 when an answer was written, be it an error."""
    order = msgspec.json.decode((folder / JOB).read_bytes(), type=WorkerOrder, dec_hook=_decode_path)
    _limit(order.limits)
    try:
        answer = _prepare(order.job, folder)
    except TsavoError as error:
        answer = WorkerAnswer(error=_parts(error))
    except ImportError as error:
        answer = WorkerAnswer(error=_parts(missing_libraries(error)))
    except MemoryError:
        answer = WorkerAnswer(error=_parts(_out_of_memory(order.limits)))
    (folder / ANSWER).write_bytes(msgspec.json.encode(answer, enc_hook=repr))
    return 0


def _limit(limits: WorkerLimits) -> None:
    for what, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds + 1),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # Beyond the soft limit on processor time comes a signal that says so, beyond the hard one a bare kill.
        soft = max(allowed - 1, 1) if what == resource.RLIMIT_CPU else allowed
        resource.setrlimit(what, (soft, allowed))


def _prepare(job: PrepareJob, folder: Path) -> WorkerAnswer:
    check_trust(job.format, trusted=job.trusted)
    if job.format == "onnx":
        from tsavo.runtimes.onnx_files import prepare_onnx

        version, reference, framework = prepare_onnx(job, folder / ARTIFACT)
    else:
        version, reference = _prepare_estimator(job, folder / ARTIFACT)
        framework = f"scikit-learn {importlib.metadata.version('scikit-learn')}"
    _write_reference(version, reference, folder / REFERENCE)
    return WorkerAnswer(
        signature=version.signature,
        reference_rows=0 if reference.generated else reference.rows,
        checks=version.checks,
        libraries=_libraries(),
        python=platform.python_version(),
        framework=framework,
    )


def _prepare_estimator(job: PrepareJob, artifact: Path) -> tuple[CompiledVersion, ReferenceRows]:
    from tsavo.formats.graph import CannotCompile
    from tsavo.formats.originals import Original
    from tsavo.runtimes.compiling import compile_checked
    from tsavo.runtimes.reference import generated_rows, read_reference

    original = Original(read_estimator(job.source, job.format, trusted=job.trusted))
    if job.reference is None and original.wants_text:
        raise Invalid(
            "the model takes text, and there are no rows to see which columns",
            field="reference",
            expected="rows of the training data",
            next_step="give them with --reference",
        )
    if job.reference is not None:
        reference = read_reference(job.reference, job.target, original.names, original.columns)
    elif original.columns is None and original.names is None:
        raise Invalid(
            "the model does not say how many columns it takes",
            field="reference",
            expected="a fitted model, or rows of its training data",
            next_step="give rows of the training data with --reference",
        )
    else:
        names = original.names or [f"x{at}" for at in range(original.columns or 0)]
        reference = generated_rows(names, ["float64"] * len(names))
    try:
        return compile_checked(original, reference, artifact), reference
    except CannotCompile as reason:
        raise Refused(f"the model cannot be compiled yet: {reason}", field="source") from reason


def _write_reference(version: CompiledVersion, reference: ReferenceRows, path: Path) -> None:
    """Write the reference rows with the compiled model's own predictions."""
    import pyarrow.parquet

    from tsavo.formats.tables import batch_of, table_with_predictions

    if reference.generated:
        return
    outputs = version.runtime.predict(batch_of(version.signature, reference.columns))
    table = table_with_predictions(version.signature, reference.columns, outputs, reference.target)
    pyarrow.parquet.write_table(table, path, compression="zstd")


def _libraries() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _parts(error: TsavoError) -> ErrorParts:
    return ErrorParts(
        error.kind,
        error.reason,
        error.field,
        error.found,
        error.expected,
        error.next_step,
        error.retry_after,
        error.details,
    )


def _out_of_memory(limits: WorkerLimits) -> Refused:
    return Refused(
        "reading the model needs more memory than it may use",
        field="source",
        expected=f"at most {limits.memory_bytes >> 20} MiB",
    )


def _decode_path(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return Path(value)
    raise NotImplementedError(kind)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
