"""The home: the one folder that holds everything of an installation, and who is using it now."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

from tsavo.storage.files import write_atomically
from tsavo.vocabulary import Conflict, Unavailable

__all__ = ["Addresses", "Home", "HomeLock"]

_FOLDERS: Final = ("artifacts", "cache", "journal", "lake", "run", "logs", "work")
_TRIES: Final = 250
_PAUSE_SECONDS: Final = 0.003


class Addresses(msgspec.Struct, frozen=True):
    """Where the running processes of a home answer; `grpc` is host and port, or ``None`` where that door is off."""

    pid: int
    gateway: str
    console: str
    grpc: str | None = None


class Home:
    """Paths within one home.

    Parameters
    ----------
    root
        The folder; by default ``TSAVO_HOME`` or the platform's data folder for users.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        chosen = root or os.environ.get("TSAVO_HOME") or platformdirs.user_data_dir("tsavo", appauthor=False)
        self.root = Path(chosen).expanduser().absolute()
        self.settings = self.root / "tsavo.toml"
        self.registry = self.root / "registry.db"
        self.artifacts = self.root / "artifacts"
        self.cache = self.root / "cache"
        self.journal = self.root / "journal"
        self.lake = self.root / "lake"
        self.ledger = self.root / "ledger"
        self.run = self.root / "run"
        self.statistics = self.run / "statistics"
        self.drills = self.run / "drills"
        self.lake_turn = self.run / "lake-turn"
        self.logs = self.root / "logs"
        self.work = self.root / "work"
        self.exports = self.root / "exports"
        self.environments = self.root / "environments"
        self.runtimes = self.root / "runtimes"
        self.keys = self.root / "keys"
        self.backups = self.root / "backups.json"

    def create(self) -> None:
        """Make the folders, readable by their owner only; raise `Unavailable` when that cannot be done."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in _FOLDERS:
                (self.root / folder).mkdir(exist_ok=True, mode=0o700)
            write_atomically(self.run / "probe", b"")
            (self.run / "probe").unlink()
        except OSError as error:
            raise Unavailable(
                "the home folder cannot be written",
                field="home",
                found=str(self.root),
                expected="a folder that this user may write",
                next_step=f"choose another one with --home DIR or TSAVO_HOME ({error.strerror})",
            ) from error

    def exists(self) -> bool:
        """Whether something was ever kept here."""
        return self.registry.is_file()

    def addresses(self) -> Addresses | None:
        """Where this home answers now, or ``None`` when nothing runs on it."""
        try:
            addresses = msgspec.json.decode((self.run / "addresses.json").read_bytes(), type=Addresses)
        except (OSError, msgspec.MsgspecError):
            return None
        return addresses if HomeLock(self).held() else None

    def publish(self, addresses: Addresses) -> None:
        """Tell clients where the processes answer."""
        write_atomically(self.run / "addresses.json", msgspec.json.encode(addresses))

    def withdraw(self) -> None:
        """Take the addresses back."""
        (self.run / "addresses.json").unlink(missing_ok=True)


class HomeLock:
    """Makes sure that one supervisor uses a home; the kernel lets go of it when the process ends."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = home.run / "lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the home, or raise `Conflict` with the addresses of who has it."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock_patiently(file)
        except OSError as error:
            os.close(file)
            running = self._home.addresses()
            where = (
                f"console {running.console}, process {running.pid}"
                if running
                else "it is starting or stopping"
            )
            raise Conflict(
                f"Tsavo already runs on this home ({where})",
                field="home",
                found=str(self._home.root),
                expected="a home that nothing runs on",
                next_step="use the running one, stop it with 'tsavo down', or choose another with --home DIR",
            ) from error
        self._file = file

    def held(self) -> bool:
        """Whether some process has the home."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # Shared: two who look at the same time must not take each other for the owner.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(file)
        return False

    def release(self) -> None:
        """Let go of the home."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _lock_patiently(file: int) -> None:
    # Who looks whether the home is held has it locked for an instant, which is no reason to give up.
    for _ in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
