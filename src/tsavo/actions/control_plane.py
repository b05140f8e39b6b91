"""What every action works on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tsavo.privacy import KeyRing
from tsavo.runtimes import Environments
from tsavo.storage import ArtifactStore, Clock, Database

__all__ = ["ControlPlane"]


class ControlPlane(NamedTuple):
    """Where the control plane keeps things, and its clock; `runtimes` has the documents of what scored.

    `keys` are those of data subjects; ``None`` where nothing personal can be recorded.
    """

    database: Database
    artifacts: ArtifactStore
    clock: Clock
    work: Path
    environments: Environments
    runtimes: Path
    keys: KeyRing | None = None
