"""The scene that lake tests play in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lake.scene import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """An empty home."""
    return Scene(tmp_path)
