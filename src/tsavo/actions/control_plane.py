"""What every action works on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tsavo.runtimes import Environments
from tsavo.storage import ArtifactStore, Clock, Database

__all__ = ["ControlPlane"]


class ControlPlane(NamedTuple):
    """The registry's database, the artifacts, the clock, a folder for work in progress, and models' environments."""

    database: Database
    artifacts: ArtifactStore
    clock: Clock
    work: Path
    environments: Environments
