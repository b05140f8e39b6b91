"""Runs uv: finds the program, gives it the machine's own registry settings, and passes on what it says."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final

from tsavo.vocabulary import Unavailable

__all__ = ["Uv", "UvFailed", "pip_settings"]

_SECONDS: Final = 1800
_TOLD: Final = 600
_ADDRESS: Final = re.compile(r"[a-z+]+://\S+")
# Of another environment or project; neither has a say here.
_FOREIGN: Final = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PROJECT_ENVIRONMENT")
_OWN: Final = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_CONFIG_FILE",
)
# What pip calls it -> what uv calls it, and what stands between several values.
_NAMES: Final = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "no-index": ("UV_NO_INDEX", " "),
    "cert": ("SSL_CERT_FILE", " "),
}


class UvFailed(Exception):
    """uv ended with an error.

    Attributes
    ----------
    words
        All it said.
    told
        The gist of it for a person, without addresses: those may hold passwords.
    """

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words
        lines = [line.strip(" ×╰─▶│├\t") for line in words.splitlines()]
        self.told = _ADDRESS.sub("(address)", " ".join(line for line in lines if line))[-_TOLD:]


class Uv:
    """The program and its surroundings."""

    def __init__(self, program: list[str], wheels: Path | None, progress: Callable[[str], None]) -> None:
        self._program = program
        self._wheels = wheels
        self._progress = progress

    @classmethod
    def found(cls, wheels: Path | None, progress: Callable[[str], None]) -> Uv:
        """As a module of our Python, beside it, or on the path.

        Raises
        ------
        Unavailable
            When there is none.
        """
        beside = Path(sys.executable).parent / "uv"
        if importlib.util.find_spec("uv") is not None:
            return cls([sys.executable, "-m", "uv"], wheels, progress)
        program = str(beside) if beside.is_file() else shutil.which("uv")
        if program is None:
            raise Unavailable(
                "this model needs an environment of its own, and uv, which makes them, is not installed",
                field="requirements",
                next_step="pip install uv, then try again",
            )
        return cls([program], wheels, progress)

    def run(self, *words: str, folder: Path) -> str:
        """Run a command in `folder`; return what it wrote to its output.

        Raises
        ------
        UvFailed
            When it failed, or took longer than half an hour.
        """
        process = subprocess.Popen(
            [*self._program, *words, *self._offline(words)],
            cwd=folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        said: list[str] = []
        listener = threading.Thread(target=self._listen, args=(process.stderr, said), daemon=True)
        listener.start()
        timer = threading.Timer(_SECONDS, _end, [process])
        timer.start()
        try:
            with process:
                assert process.stdout is not None  # noqa: S101 -- a pipe was asked for
                written = process.stdout.read()
                code = process.wait()
                listener.join()
        except BaseException:
            _end(process)
            raise
        finally:
            timer.cancel()
        if code != 0:
            raise UvFailed("".join(said) or f"uv ended with code {code}")
        return written

    def _listen(self, pipe: IO[str], said: list[str]) -> None:
        for line in pipe:
            said.append(line)
            if line.startswith(_NEWS):
                self._progress(line.strip())

    def _offline(self, words: tuple[str, ...]) -> list[str]:
        if self._wheels is None or words[0] != "pip":
            return []
        return ["--offline", "--no-index", "--find-links", str(self._wheels.absolute())]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        steady = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
        if self._wheels is None and not _uv_has_its_own(os.environ):
            kept |= {name: value for name, value in pip_settings().items() if name not in kept}
        return {**kept, **steady}


_NEWS: Final = ("Resolved", "Downloading", "Prepared", "Installed", "Building", "Bytecode")


def _end(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _uv_has_its_own(environment: Mapping[str, str]) -> bool:
    """Whether somebody told uv itself where packages come from."""
    if any(environment.get(name) for name in _OWN):
        return True
    home = Path(environment.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    files = (home / "uv" / "uv.toml", Path("/etc/uv/uv.toml"))
    return any(file.is_file() and re.search(r"index|find-links", file.read_text()) for file in files)


def pip_settings() -> dict[str, str]:
    """Where pip takes packages from on this machine, as environment variables that uv understands.

    Where a mirror is set up for pip and not for uv, uv would ask the public registry, or nobody at all.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = done.stdout.splitlines() if done.returncode == 0 else []
    except (OSError, subprocess.SubprocessError):
        lines = []
    return translated(lines)


def translated(lines: list[str]) -> dict[str, str]:
    """What ``pip config list`` printed, as environment variables for uv.

    >>> translated(["global.index-url='https://one.example/simple'", "install.index-url='https://two.example/simple'"])
    {'UV_DEFAULT_INDEX': 'https://two.example/simple'}
    """
    found: dict[str, str] = {}
    # pip's own order: the environment goes before what holds for installing, and that before what holds always.
    for section in ("global.", "install.", ":env:."):
        for line in lines:
            key, equals, quoted = line.partition("=")
            name, between = _NAMES.get(key.removeprefix(section), ("", ""))
            if not key.startswith(section) or not equals or not name:
                continue
            value = str(ast.literal_eval(quoted))
            found[name] = between.join(value.split())
    if found.get("UV_NO_INDEX", "").lower() in {"0", "false", "no", "off"}:
        del found["UV_NO_INDEX"]
    if "UV_INDEX" in found:
        # pip looks at all of them and takes the newest, and whoever set them up counts on that.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return found
