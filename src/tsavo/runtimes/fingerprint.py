"""What scores here: the libraries, the processor and the threads that have a say in the bits of an answer.

A decision keeps the digest alone; the document lies in the home under that digest. Two decisions with the same digest
were computed by the same code on the same kind of processor.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from tsavo.storage import clock_source, write_atomically
from tsavo.vocabulary import Damaged

__all__ = ["Fingerprint", "differences", "keep_fingerprint", "read_fingerprint", "take_fingerprint"]

_DIGITS: Final = 16
_LIBRARIES: Final = (
    "tsavo",
    "numpy",
    "onnxruntime",
    "scikit-learn",
    "scipy",
    "pandas",
    "xgboost",
    "xgboost-cpu",
    "lightgbm",
    "catboost",
    "statsmodels",
    "torch",
)
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What has a say in an answer's bits.

    Attributes
    ----------
    libraries
        Distribution name -> version.
    processor, features
        Its kind, and the instruction sets that numpy found.
    blas
        The linear algebra library of numpy.
    threads
        Of one prediction, by what sets them.
    clock
        Where the times of decisions come from; it has no say in answers.
    """

    python: str
    libraries: dict[str, str]
    system: str
    processor: str
    features: tuple[str, ...]
    blas: str
    threads: dict[str, str]
    clock: str = ""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the document."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:_DIGITS]


def take_fingerprint() -> Fingerprint:
    """Of this process."""
    import numpy

    told: Any = numpy.show_config(mode="dicts")
    blas = told["Build Dependencies"]["blas"]
    return Fingerprint(
        python=platform.python_version(),
        libraries={name: found for name in _LIBRARIES if (found := _version(name)) is not None},
        system=f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}".strip(", "),
        processor=_processor(),
        features=tuple(told["SIMD Extensions"].get("found", ())),
        blas=f"{blas.get('name')} {blas.get('version')}",
        # Compiled models run on one thread each, whatever else is said.
        threads={"onnxruntime": "1", **{name: os.environ[name] for name in _THREADS if name in os.environ}},
        clock=clock_source(),
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def keep_fingerprint(fingerprint: Fingerprint, folder: Path) -> str:
    """Keep the document in `folder`, under its digest, which is returned."""
    path = folder / f"{fingerprint.digest}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, msgspec.json.format(msgspec.json.encode(fingerprint, order="deterministic")))
    return fingerprint.digest


def read_fingerprint(digest: str, folder: Path) -> Fingerprint | None:
    """The document of a digest; ``None`` when it is not here. Raise `Damaged` when it is another."""
    if len(digest) != _DIGITS or not digest.isalnum():
        return None
    try:
        found = msgspec.json.decode((folder / f"{digest}.json").read_bytes(), type=Fingerprint)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise _damaged(digest, str(error)) from error
    if found.digest != digest:
        raise _damaged(digest, f"a document of the digest {found.digest}")
    return found


def differences(one: Fingerprint, other: Fingerprint) -> dict[str, tuple[Any, Any]]:
    """What differs of what has a say in answers, by name: what `one` has, and what `other` has.

    Features are compared as sets: what each has alone.
    """
    told: dict[str, tuple[Any, Any]] = {}
    for name in ("python", "system", "processor", "blas"):
        was, now = getattr(one, name), getattr(other, name)
        if was != now:
            told[name] = (was, now)
    told |= _of_maps(one.libraries, other.libraries, "")
    told |= _of_maps(one.threads, other.threads, "threads ")
    was_features, now_features = set(one.features), set(other.features)
    if was_features != now_features:
        told["features"] = (sorted(was_features - now_features), sorted(now_features - was_features))
    return told


def _of_maps(one: Mapping[str, str], other: Mapping[str, str], prefix: str) -> dict[str, tuple[Any, Any]]:
    return {
        prefix + name: (one.get(name), other.get(name))
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    }


def _damaged(digest: str, found: str) -> Damaged:
    return Damaged(
        "what is kept about the runtime of a decision is damaged",
        field="runtime",
        found=found[:300],
        expected=f"the document of {digest}",
        next_step="restore the home's folder 'runtimes' from a backup",
    )
