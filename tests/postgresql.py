"""A real PostgreSQL of the tests' own, on a socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest


@contextmanager
def running_postgresql(programs: Path) -> Iterator[str]:
    """A server as long as the block lasts; yields a URL in which ``{database}`` stands for the database's name."""
    # Socket paths are short by law (107 bytes), so the folder is not one of pytest's own.
    folder = Path(tempfile.mkdtemp(prefix="tsavo-pg-"))
    data = folder / "data"
    # PostgreSQL refuses to run as root.
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        name = _unprivileged_user()
        shutil.chown(folder, name, None)
        user = {"user": name, "extra_groups": []}
    try:
        words = [str(programs / "initdb"), "--pgdata", str(data), "--username", "tsavo", "--auth", "trust"]
        subprocess.run(
            [*words, "--encoding", "UTF8", "--no-sync"], check=True, capture_output=True, cwd=folder, **user
        )
        options = [
            "-k",
            str(folder),
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
            "-c",
            "max_connections=50",
        ]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(data), *options],
                stdout=log,
                stderr=log,
                cwd=folder,
                **user,
            )
        try:
            _await_answer(server, folder)
            yield f"postgresql+psycopg://tsavo@/{{database}}?host={folder}"
        finally:
            # A fast shutdown: open connections are cut.
            server.send_signal(signal.SIGINT)
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def execute(url: str, statement: str) -> None:
    """Run one statement outside a transaction in the server's own database."""
    host = url.rpartition("host=")[2]
    with psycopg.connect(host=host, user="tsavo", dbname="postgres", autocommit=True) as connection:
        connection.execute(statement.encode())


def _unprivileged_user() -> str:
    import pwd

    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.skip("PostgreSQL does not run as root, and there is no other user")


def _await_answer(server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(host=str(folder), user="tsavo", dbname="postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            log = (folder / "log").read_text(errors="replace")
            assert server.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.05)
        else:
            return
