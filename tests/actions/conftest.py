from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples import SteppingClock
from tsavo.actions import ControlPlane
from tsavo.runtimes import Environments
from tsavo.storage import ArtifactStore, Database


@pytest.fixture
def plane(database: Database, clock: SteppingClock, tmp_path: Path) -> ControlPlane:
    """A control plane on either engine."""
    work = tmp_path / "work"
    work.mkdir()
    return ControlPlane(
        database,
        ArtifactStore(tmp_path / "artifacts", tmp_path / "cache"),
        clock,
        work,
        Environments(tmp_path / "environments"),
    )
