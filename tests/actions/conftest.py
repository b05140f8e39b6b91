from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples import REGRESSOR, SteppingClock, keep_versions
from tsavo.actions import ControlPlane
from tsavo.privacy import KeyRing
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
        tmp_path / "runtimes",
        KeyRing(tmp_path / "keys", tmp_path / "keys" / "master.key"),
    )


@pytest.fixture
def credit(plane: ControlPlane) -> ControlPlane:
    """A control plane that knows four versions of 'credit' and a regressor."""
    with plane.database.begin() as connection:
        keep_versions(connection, "credit", 4)
        keep_versions(connection, "price", 1, REGRESSOR)
    return plane
