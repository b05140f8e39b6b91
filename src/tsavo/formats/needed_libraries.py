"""Which libraries a version's source needs, as far as can be said without opening it."""

from __future__ import annotations

import re
from typing import Final

from tsavo.vocabulary import SourceFormat, Version

__all__ = ["needed_libraries", "perhaps_needed", "pinned"]

_PICKLED: Final[frozenset[SourceFormat]] = frozenset(
    {"pickle", "joblib", "cloudpickle", "skops", "mlflow", "python"}
)
_ALWAYS: Final = ("numpy", "pandas")
_IN_PICKLES: Final = ("scikit-learn", "scipy", "joblib", "cloudpickle", "skops")
# A pickle can hold estimators of these inside those of scikit-learn; which ones, nobody may look.
_PERHAPS: Final = ("xgboost", "xgboost-cpu", "lightgbm", "catboost")
_PIN: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;+]+)(?:\+\S*)?")


def needed_libraries(version: Version) -> dict[str, str]:
    """Distribution name -> the version that was there at registration, for what the source needs for certain."""
    if version.environment is not None:
        return pinned(version.environment.requirements)
    libraries, source = version.lineage.libraries, version.lineage.source_format
    maker = version.lineage.framework.partition(" ")[0].lower()
    own = {maker, "torch" if source in ("torchscript", "torch-export") else source}
    wanted = {name for name in libraries if name.removesuffix("-cpu") in own}
    wanted |= {"scipy", *_ALWAYS, *(_IN_PICKLES if source in _PICKLED else ())}
    return _chosen(libraries, wanted)


def perhaps_needed(version: Version) -> dict[str, str]:
    """The same for libraries that may be needed beside those."""
    if version.environment is not None or version.lineage.source_format not in _PICKLED:
        return {}
    certain = needed_libraries(version)
    return _chosen(version.lineage.libraries, {name for name in _PERHAPS if name not in certain})


def _chosen(libraries: dict[str, str], wanted: set[str]) -> dict[str, str]:
    # A build for one kind of machine is no other release.
    return {name: found.partition("+")[0] for name, found in sorted(libraries.items()) if name in wanted}


def pinned(requirements: tuple[str, ...]) -> dict[str, str]:
    """What ``name==version`` lines say.

    >>> pinned(("numpy==2.4.6", "torch==2.13.0+cpu", "not a pin"))
    {'numpy': '2.4.6', 'torch': '2.13.0'}
    """
    found = (_PIN.fullmatch(line.strip()) for line in requirements)
    return {match[1]: match[2] for match in found if match is not None}
