"""What every action works on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tsavo.runtimes import Environments
from tsavo.storage import ArtifactStore, Clock, Database

__all__ = ["ControlPlane"]


class ControlPlane(NamedTuple):
    """Where the control plane keeps things, and its clock; `runtimes` has the documents of what scored."""

    database: Database
    artifacts: ArtifactStore
    clock: Clock
    work: Path
    environments: Environments
    runtimes: Path
