"""What a person registers, as the bytes of a model file: a path, or a live object."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

from tsavo.vocabulary import Invalid, NotFound, Untrusted

__all__ = ["Source", "code_commit", "read_source"]

_GIT_SECONDS: Final = 5


class Source(NamedTuple):
    """A model file, or the bytes of one that was never a file, and what to call it."""

    name: str
    content: Path | bytes


def read_source(source: Any, *, trust: bool) -> Source:
    """The model file of `source`.

    Parameters
    ----------
    source
        A path; or a live object: an ONNX model, or an estimator, which is written with skops, or with cloudpickle when
        `trust` says that somebody vouches for it.

    Raises
    ------
    NotFound, Invalid
        When there is no such file, or it is a folder.
    Untrusted
        When the object can only be written in a form that carries code.
    """
    if isinstance(source, str | Path):
        return _read_file(Path(source))
    name = type(source).__name__
    if hasattr(source, "SerializeToString"):
        return Source(f"{name}.onnx", source.SerializeToString())
    if trust:
        return Source(f"{name}.pkl", _pickled(source))
    return Source(f"{name}.skops", _skops(source))


def _read_file(path: Path) -> Source:
    if path.is_dir():
        raise Invalid(
            "a folder, not a model file",
            field="source",
            found=str(path),
            expected="a skops, ONNX, pickle or joblib file",
        )
    if not path.exists():
        raise NotFound("there is no such file", field="source", found=str(path))
    return Source(path.name, path)


def _skops(model: Any) -> bytes:
    try:
        import skops.io
    except ImportError as error:
        raise Untrusted(
            "without skops a live object can only be written as a pickle, which can carry code",
            field="source",
            found=type(model).__name__,
            next_step="pip install 'tsavo[sklearn]', or vouch for it with trust=True",
        ) from error
    sink = io.BytesIO()
    try:
        skops.io.dump(model, sink)
    except Exception as error:
        raise Untrusted(
            f"skops cannot write this object ({error})",
            field="source",
            found=type(model).__name__,
            next_step="register it with trust=True if you vouch for it; it is then written as a pickle",
        ) from error
    return sink.getvalue()


def _pickled(model: Any) -> bytes:
    try:
        import cloudpickle as pickling
    except ImportError:
        import pickle as pickling
    try:
        content: bytes = pickling.dumps(model)
    except Exception as error:
        raise Invalid("this object cannot be written to a file", field="source", found=str(error)) from error
    return content


def code_commit(folder: Path | None = None) -> str | None:
    """The git commit of `folder` (by default the working folder), ``-dirty`` appended when a tracked file was changed.

    ``None`` where there is no git, or no commit. Files that git does not track (data, the model itself) do not count.
    """

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *words],
                capture_output=True,
                text=True,
                timeout=_GIT_SECONDS,
                cwd=folder,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}-dirty" if git("status", "--porcelain", "--untracked-files=no") else commit
