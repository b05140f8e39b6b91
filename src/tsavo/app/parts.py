"""The parts that processes share, built from a home and its settings."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tsavo.app.settings import Settings
from tsavo.registry import get_version
from tsavo.storage import ArtifactStore, Clock, Database, Home, SystemClock
from tsavo.vocabulary import Signature, VersionRef

if TYPE_CHECKING:
    from tsavo.actions import ControlPlane
    from tsavo.lake import Lake
    from tsavo.privacy import KeyRing
    from tsavo.runtimes import Environments

__all__ = ["Parts", "build_parts", "open_artifacts", "open_database", "open_environments", "open_keys"]


class Parts(NamedTuple):
    """What the console and the keeper work with."""

    database: Database
    artifacts: ArtifactStore
    lake: Lake
    clock: Clock
    control: ControlPlane


def open_database(home: Home, settings: Settings, *, read_only: bool = False) -> Database:
    """The registry's database."""
    return Database(settings.storage.registry or f"sqlite:///{home.registry}", read_only=read_only)


def open_artifacts(home: Home, settings: Settings) -> ArtifactStore:
    """The artifact store."""
    return ArtifactStore(settings.storage.artifacts or home.artifacts, home.cache)


def open_environments(home: Home, settings: Settings) -> Environments:
    """The environments of models that need other libraries than ours."""
    from tsavo.runtimes import Environments

    chosen = settings.environments
    return Environments(
        Path(chosen.folder) if chosen.folder else home.environments,
        wheels=Path(chosen.wheels) if chosen.wheels else None,
    )


def open_keys(home: Home, settings: Settings) -> KeyRing:
    """The keys of data subjects."""
    # Most homes record nothing personal, and need no cipher.
    from tsavo.privacy import KeyRing

    chosen = settings.privacy.key_file
    return KeyRing(home.keys, Path(chosen).expanduser() if chosen else home.keys / "master.key")


def build_parts(home: Home, settings: Settings, *, read_only: bool = False) -> Parts:
    """Build everything that the control plane and the keeper need."""
    # The gateway opens its stores with this module too, and must start without the lake's libraries.
    from tsavo.actions import ControlPlane
    from tsavo.lake import Lake

    database = open_database(home, settings, read_only=read_only)
    artifacts = open_artifacts(home, settings)
    clock = SystemClock()

    @lru_cache(maxsize=20_000)
    def signature_of(model: str, number: int) -> Signature:
        with database.read() as connection:
            return get_version(connection, VersionRef(model, number)).signature

    keys = open_keys(home, settings)
    lake = Lake(home.lake, home.journal, signature_of, keys.unseal, keys.own)
    environments = open_environments(home, settings)
    plane = ControlPlane(database, artifacts, clock, home.work, environments, home.runtimes, keys)
    return Parts(database, artifacts, lake, clock, plane)
