"""What is wrong with an installation, and the mend. Reads; never changes anything."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from tsavo.app.doctor_journal import (
    Examination,
    examine_backlog,
    examine_damage,
    examine_gaps,
    examine_recording,
    examine_spill,
)
from tsavo.app.doctor_ledger import examine_anchor, examine_ledger
from tsavo.app.parts import open_artifacts, open_database
from tsavo.app.settings import Settings, load_settings
from tsavo.registry import list_models, list_versions, schema_revision
from tsavo.runtimes.confinement import LAYERS, support
from tsavo.runtimes.uv import Uv, UvFailed
from tsavo.storage import ArtifactStore, Home
from tsavo.vocabulary import TsavoError

__all__ = ["Examination", "examine"]

_LEAST_FREE: Final = 1024**3
_WORKER_LIBRARIES: Final = ("onnx", "pandas", "sklearn", "skl2onnx", "skops")
# What a person calls it -> its module, and the extra that brings it.
_MODEL_LIBRARIES: Final = {
    "scikit-learn": ("sklearn", "sklearn"),
    "skops": ("skops", "sklearn"),
    "onnx": ("onnx", "sklearn"),
    "xgboost": ("xgboost", "xgboost"),
    "lightgbm": ("lightgbm", "lightgbm"),
    "catboost": ("catboost", "catboost"),
    "statsmodels": ("statsmodels", "statsmodels"),
    "torch": ("torch", "torch"),
    "mlflow-skinny": ("mlflow", "mlflow"),
}
_LAYERS: Final = {
    "limits": "limits on memory, time and files",
    "privileges": "no privileges",
    "namespaces": "no network",
    "landlock": "only the files that they need",
    "seccomp": "only harmless system calls",
    "processes": "a limited number of processes",
}
# The rest is comfort: where it is missing, another layer does most of its work.
_ESSENTIAL: Final = frozenset({"limits", "landlock", "seccomp"})
# More versions than these are a matter of minutes; the newest of each model are the ones that serve.
_MOST_ARTIFACTS: Final = 2_000


def examine(home: Home) -> list[Examination]:
    """Look at everything that can be looked at; an examination that fails is itself a finding."""
    looks: list[tuple[str, Callable[[], Examination]]] = [
        ("python", _python),
        ("settings", lambda: _settings(home)),
        ("home", lambda: _home(home)),
        ("disk", lambda: _disk(home)),
        ("processes", lambda: _processes(home)),
        ("registration", _registration),
        ("libraries", _libraries),
        ("environments", _environments),
        ("confinement", _confinement),
    ]
    if home.exists():
        looks += [
            ("registry", lambda: _registry(home)),
            ("artifacts", lambda: _artifacts(home)),
            ("journal", lambda: examine_backlog(home)),
            ("recording", lambda: examine_recording(home)),
            ("spill", lambda: examine_spill(home)),
            ("journal damage", lambda: examine_damage(home)),
            ("journal gaps", lambda: examine_gaps(home)),
            ("log", lambda: examine_ledger(home)),
            ("log anchor", lambda: examine_anchor(home)),
        ]
    return [_safely(name, look) for name, look in looks]


def _safely(name: str, look: Callable[[], Examination]) -> Examination:
    try:
        return look()
    except TsavoError as error:
        return Examination(name, ok=False, found=error.reason, mend=error.next_step or str(error))
    except Exception as error:
        return Examination(
            name, ok=False, found=f"{type(error).__name__}: {error}", mend="see the logs in the home"
        )


def _python() -> Examination:
    found = ".".join(str(part) for part in sys.version_info[:3])
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Examination("python", good, found, "" if good else "install Tsavo under Python 3.11 to 3.13")


def _settings(home: Home) -> Examination:
    load_settings(home)
    return Examination("settings", ok=True, found="valid" if home.settings.exists() else "defaults")


def _home(home: Home) -> Examination:
    if not home.root.exists():
        return Examination("home", ok=True, found=f"{home.root} does not exist yet; 'tsavo up' makes it")
    home.create()
    return Examination("home", ok=True, found=str(home.root))


def _disk(home: Home) -> Examination:
    place = home.root if home.root.exists() else home.root.parent
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    good = free >= _LEAST_FREE
    mend = "" if good else "make room, or move the home: without room, requests are refused rather than lost"
    return Examination("disk", good, f"{free / 1024**3:.1f} GiB free", mend)


def _processes(home: Home) -> Examination:
    addresses = home.addresses()
    if addresses is None:
        return Examination("processes", ok=True, found="nothing runs; 'tsavo up --detach' starts it")
    silent = []
    for name, url in (
        ("gateway", f"{addresses.gateway}/v2/health/ready"),
        ("console", f"{addresses.console}/api/status"),
    ):
        try:
            if httpx.get(url, timeout=5).status_code != httpx.codes.OK:
                silent.append(name)
        except httpx.HTTPError:
            silent.append(name)
    mend = "" if not silent else f"see {home.logs}, then 'tsavo down' and 'tsavo up --detach'"
    found = f"up, process {addresses.pid}" if not silent else f"{' and '.join(silent)} do not answer"
    return Examination("processes", not silent, found, mend)


def _registration() -> Examination:
    missing = [name for name in _WORKER_LIBRARIES if importlib.util.find_spec(name) is None]
    if not missing:
        return Examination("registration", ok=True, found="scikit-learn and ONNX models can be registered")
    return Examination(
        "registration",
        ok=False,
        found=f"missing: {', '.join(missing)}",
        mend="pip install 'tsavo[sklearn]'",
    )


def _libraries() -> Examination:
    """Which models can be read; none of these has to be there."""
    there, lacking = [], []
    for name, (module, extra) in _MODEL_LIBRARIES.items():
        if importlib.util.find_spec(module) is None:
            lacking.append(f"{name} (pip install 'tsavo[{extra}]')")
        else:
            there.append(f"{name} {_version_of(name)}")
    found = ", ".join(there) or "no model library"
    return Examination(
        "libraries", ok=True, found=found + (f"; not installed: {', '.join(lacking)}" if lacking else "")
    )


def _version_of(name: str) -> str:
    for distribution in (name, f"{name}-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return "of an unknown version"


def _environments() -> Examination:
    try:
        program = Uv.found(None, lambda line: None)
        found = program.run("--version", folder=Path(tempfile.gettempdir())).strip()
    except (TsavoError, UvFailed) as error:
        why = error.told if isinstance(error, UvFailed) else "uv is not installed"
        # Nothing that works now stops working for it.
        return Examination(
            "environments",
            ok=True,
            found=f"{why}: models that need other libraries than Tsavo's own cannot be registered",
            mend="pip install 'tsavo[environments]'",
        )
    return Examination("environments", ok=True, found=f"{found} makes environments of models' own")


def _confinement() -> Examination:
    """What keeps the processes that read and run models from everything else."""
    layers = support()
    there = [_LAYERS[name] for name in LAYERS if layers[name]]
    lacking = [_LAYERS[name] for name in LAYERS if not layers[name] and name in _ESSENTIAL]
    found = f"model processes have {', '.join(there) or 'no confinement'}"
    if not lacking:
        return Examination("confinement", ok=True, found=found)
    linux = sys.platform == "linux"
    return Examination(
        "confinement",
        # What the platform has not cannot be mended.
        ok=not linux,
        found=f"{found}; lacking: {', '.join(lacking)}",
        mend="let this user make namespaces, under a Linux of 5.13 or newer"
        if linux
        else "trust what you register, or run Tsavo under Linux: elsewhere only limits hold",
    )


def _registry(home: Home) -> Examination:
    database = open_database(home, load_settings(home), read_only=True)
    try:
        with database.read() as connection:
            revision = schema_revision(connection)
            models = list_models(connection, limit=1).total
    finally:
        database.close()
    return Examination("registry", ok=True, found=f"{models} models, schema {revision}")


def _artifacts(home: Home) -> Examination:
    settings = load_settings(home)
    store = open_artifacts(home, settings)
    looked, damaged = 0, []
    for label, digest in _newest_artifacts(home, settings):
        looked += 1
        try:
            store.verify(digest)
        except TsavoError:
            damaged.append(label)
    if damaged:
        found = f"{len(damaged)} of {looked} damaged or missing: {', '.join(damaged[:5])}"
        return Examination(
            "artifacts", ok=False, found=found, mend="restore them from a backup or register them again"
        )
    return Examination("artifacts", _writable(store), f"{looked} newest versions are intact")


def _newest_artifacts(home: Home, settings: Settings) -> list[tuple[str, str]]:
    database = open_database(home, settings, read_only=True)
    found: list[tuple[str, str]] = []
    try:
        with database.read() as connection:
            for model in list_models(connection, limit=1000).items:
                versions = list_versions(connection, model.name, limit=5).items
                found.extend((str(version.ref), version.artifact) for version in versions)
                if len(found) >= _MOST_ARTIFACTS:
                    break
    finally:
        database.close()
    return found


def _writable(store: ArtifactStore) -> bool:
    return store.writable()
