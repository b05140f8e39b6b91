"""A small home with all that the log speaks of, and the verifier, loaded as a stranger would."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType
from typing import Final

from tests.examples import NOON, SteppingClock, example_route, keep_versions
from tests.lake.scene import Scene, decision, outcome, row_id
from tsavo.app.attesting import Attestor
from tsavo.app.settings import LedgerSettings
from tsavo.governance import audit
from tsavo.registry import add_verification, find_route, migrate, save_members, save_route
from tsavo.storage import Database, Home
from tsavo.vocabulary import Member, Verification, VersionRef

__all__ = ["VERIFIER", "LoggedHome", "build_home", "load_verifier"]

VERIFIER: Final = Path(__file__).parents[2] / "src" / "tsavo" / "ledger" / "verify_log.py"


def load_verifier() -> ModuleType:
    """The independent verifier as a module of its own, which knows nothing of the package that it lies in."""
    spec = importlib.util.spec_from_file_location("independent_verify_log", VERIFIER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class LoggedHome:
    """A home whose keeper is this object."""

    def __init__(self, folder: Path, anchor: Path | None = None) -> None:
        self.home = Home(folder)
        self.home.create()
        self.anchor = anchor or folder.with_name(folder.name + "-anchor.jsonl")
        self.clock = SteppingClock()
        self.open()

    def open(self) -> None:
        self.database = Database(f"sqlite:///{self.home.registry}")
        migrate(self.database)
        self.scene = Scene(self.home.root)
        settings = LedgerSettings(anchor=str(self.anchor))
        self.attestor = Attestor(self.home, self.database, self.scene.lake, self.clock, settings)
        self.key = self.attestor.ledger.public_key

    def close(self) -> None:
        """Stop as a keeper does."""
        self.attestor.stop()
        self.database.close()

    def crash(self) -> None:
        """Let go of everything without a word."""
        self.attestor.ledger.close()
        self.database.close()

    def deploy(self, name: str, *, why: str = "because") -> None:
        """A change of the control plane, with its audit entry."""
        with self.database.begin() as connection:
            before = find_route(connection, name)
            route = save_route(connection, before or example_route(name))
            audit(
                connection,
                time=self.clock.now(),
                who="ada",
                action="endpoint.deploy",
                subject=f"endpoint:{name}",
                why=why,
                before=before,
                after=route,
            )

    def decide(self, start: int, count: int, endpoint: str = "credit") -> None:
        """Decisions, recorded and shipped."""
        self.scene.write(*(decision(number, endpoint=endpoint) for number in range(start, start + count)))
        self.scene.ship()
        self.attestor.round()


def build_home(folder: Path) -> LoggedHome:
    """A stopped home with an older copy beside it (``<folder>-old``)."""
    logged = LoggedHome(folder)
    with logged.database.begin() as connection:
        keep_versions(connection, "credit", 3)
        keep_versions(connection, "sales", 2)
        for number in (1, 2):
            ref = VersionRef("credit", number)
            add_verification(connection, Verification(ref, NOON, "ada", "same", "3 rows are the same"))
    for name in ("credit", "sales", "other"):
        logged.deploy(name)
    with logged.database.begin() as connection:
        members = [Member("sales", place, VersionRef("sales", 1), 0) for place in ("north", "south", "east")]
        save_members(connection, "sales", members)
    # Enough commits for a checkpoint, which the later ones replace.
    for start in range(0, 66, 3):
        logged.decide(start, 3)
    logged.decide(100, 3, "sales")
    logged.close()
    shutil.copytree(folder, folder.with_name(folder.name + "-old"))
    logged.open()
    for number in range(44):
        if number % 4 == 0:
            logged.deploy("credit", why=f"change {number}")
        logged.decide(1000 + number * 10, 2, "credit" if number % 2 else "sales")
    logged.scene.write(b"\xc1 no record", outcome([row_id(1), row_id(2)], [1, 0], endpoint="credit"))
    logged.scene.ship()
    logged.scene.lake.maintain(most_small_files=4)
    logged.close()
    return logged
