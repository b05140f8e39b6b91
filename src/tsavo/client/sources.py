"""What a person registers, as the bytes of a model file: a path, or a live object."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tsavo.vocabulary import Invalid, NotFound, Untrusted

__all__ = ["Source", "code_commit", "hints_for", "read_source"]

_GIT_SECONDS: Final = 5


class Source(NamedTuple):
    """A model file, or the bytes of one that was never a file, and what to call it.

    Attributes
    ----------
    hints
        What the object said about itself that the file does not hold: ``task``, ``classes``, ``names``.
    """

    name: str
    content: Path | bytes
    hints: Mapping[str, Any] = {}


def hints_for(
    given: Source,
    *,
    task: str | None = None,
    classes: Sequence[Any] | None = None,
    columns: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    requirements: Sequence[str] = (),
    python: str | None = None,
) -> dict[str, Any]:
    """What is said about a model, by the person before the object itself; what nobody says is left out."""
    hints = {
        **given.hints,
        "task": task or given.hints.get("task"),
        "classes": _plain(classes) or given.hints.get("classes"),
        "names": columns or given.hints.get("names"),
        "units": units,
        "requirements": list(requirements),
        "python": python,
    }
    return {key: value for key, value in hints.items() if value}


def _plain(values: Sequence[Any] | None) -> list[Any] | None:
    """Class labels as JSON has them: numpy's own kinds of numbers are none."""
    return None if values is None else [getattr(value, "item", lambda kept=value: kept)() for value in values]


def read_source(source: Any, *, trust: bool, tracking_uri: str | None = None) -> Source:
    """The model file of `source`.

    Parameters
    ----------
    source
        A path of a file or folder; an MLflow address; ``module:object``; or a live object, which is written in its
        library's own format where that has one, else with skops, or with cloudpickle when `trust` says that somebody
        vouches for it.
    tracking_uri
        The MLflow server of an address.

    Raises
    ------
    NotFound, Invalid
        When there is no such file, or it is a folder that holds no model.
    Untrusted
        When the object can only be written in a form that carries code.
    """
    if isinstance(source, str | Path):
        return _named(str(source), tracking_uri)
    name = type(source).__name__
    if hasattr(source, "SerializeToString"):
        return Source(f"{name}.onnx", source.SerializeToString())
    from tsavo.client.live import export

    exported = export(source)
    if exported is not None:
        return Source(f"{exported.name}{exported.suffix}", exported.content, exported.hints)
    if trust:
        return Source(f"{name}.pkl", _pickled(source))
    return Source(f"{name}.skops", _skops(source))


def _named(source: str, tracking_uri: str | None) -> Source:
    """A path, an address, or ``module:object``, whichever it is."""
    path = Path(source)
    if path.is_file():
        return Source(path.name, path)
    from tsavo.client.bundles import fetch_mlflow, is_entry, is_mlflow_uri, pack_entry, pack_folder

    if path.is_dir():
        return Source(*pack_folder(path))
    if is_mlflow_uri(source):
        return Source(*fetch_mlflow(source, tracking_uri))
    if is_entry(source):
        return Source(*pack_entry(source))
    raise NotFound(
        "there is no such file",
        field="source",
        found=source,
        expected="a model file, a folder, an MLflow address (models:/NAME/1) or MODULE:OBJECT",
    )


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
