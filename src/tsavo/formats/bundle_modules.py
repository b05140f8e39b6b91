"""Keeps the modules of several bundles apart in one process.

A worker serves versions that share an environment, and two of them may each bring a ``model.py``. Python has one table
of modules for a process, so before a bundle's code runs its own modules are put into that table, and those of the
bundle before it are taken out. A worker answers one request at a time, so nobody else looks at the table meanwhile.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import ClassVar

__all__ = ["BundleModules"]


class BundleModules:
    """The importable files of one bundle.

    Parameters
    ----------
    root
        The folder that its imports start from.
    """

    _present: ClassVar[BundleModules | None] = None

    def __init__(self, root: Path) -> None:
        self._root = str(root.resolve())
        self._kept: dict[str, ModuleType] = {}

    def enter(self) -> None:
        """Let imports find this bundle's modules, and those of no other; cheap when they already do."""
        before = BundleModules._present
        if before is self:
            return
        if before is not None:
            before._leave()
        sys.path.insert(0, self._root)
        sys.modules.update(self._kept)
        BundleModules._present = self
        importlib.invalidate_caches()

    def _leave(self) -> None:
        if self._root in sys.path:
            sys.path.remove(self._root)
        self._kept = {name: module for name, module in list(sys.modules.items()) if self._owns(module)}
        for name in self._kept:
            del sys.modules[name]
        BundleModules._present = None

    def _owns(self, module: ModuleType | None) -> bool:
        # Its own attributes and no others: some libraries' modules make up an answer to any question.
        known = getattr(module, "__dict__", {})
        path = known.get("__path__")
        # A package without __init__.py has a path and no file.
        places = [known.get("__file__"), *(path if isinstance(path, Iterable) else ())]
        return any(isinstance(place, str) and place.startswith(f"{self._root}/") for place in places)
