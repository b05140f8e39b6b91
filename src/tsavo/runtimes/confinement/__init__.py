"""Takes from a process, for good, what a hostile model file could misuse.

What comes in: what the process may still read, write and use (`Confinement`). What goes out: the names of the layers
that this platform enforces. It runs in the process itself, before that has read a byte of a model and while it has one
thread, and imports the standard library and msgspec only: a Python worker may live in any environment. It must never
fail for want of a layer: each one is used where the kernel has it, and reported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from tsavo.runtimes.confinement import filters, landlock, namespaces
from tsavo.runtimes.confinement.folders import DEVICES, programs, system_files
from tsavo.runtimes.confinement.limits import (
    can_count_processes,
    limit_processes,
    limit_resources,
    mapped_bytes,
)

__all__ = ["LAYERS", "QUIET", "Confinement", "confine", "mapped_bytes", "support"]

LAYERS: Final = ("limits", "privileges", "namespaces", "landlock", "seccomp", "processes")
"""What `confine` may report: limits on memory, time and files; no capabilities, and no way to get one; a network
without a device; only the given files; only harmless calls of the kernel; and a number of processes (where that is
missing but calls are filtered, threads only)."""

QUIET: Final = {
    # Threads of libraries must not be there before the process is confined, or when it is copied.
    **dict.fromkeys(
        (
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "ARROW_IO_THREADS",
            "NUMEXPR_NUM_THREADS",
        ),
        "1",
    ),
    # joblib would try semaphores, which a confined process has not, and complain.
    "JOBLIB_MULTIPROCESSING": "0",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # onnxruntime would start a thread that reports home.
    "ORT_DISABLE_TELEMETRY": "1",
}
"""Environment variables with which model libraries start no thread when they are imported."""

_ANSWER_SECONDS: Final = 30


class Confinement(msgspec.Struct, frozen=True):
    """What a process may still do.

    Attributes
    ----------
    read, write
        Folders and files; with them come the Python installation and what the C library needs.
    memory_bytes
        Address space, what is mapped already included.
    cpu_seconds
        Processor time; ``None`` for a process that goes on for ever.
    open_files, file_bytes
        Files open at once, and the size of any file it writes.
    processes
        Processes and threads, itself included.
    """

    read: tuple[str, ...]
    write: tuple[str, ...]
    memory_bytes: int
    cpu_seconds: int | None
    open_files: int
    file_bytes: int
    processes: int


def confine(order: Confinement) -> tuple[str, ...]:
    """Give up everything else, now and for ever; call it before a model's first byte is read.

    Returns
    -------
    tuple of str
        Those of `LAYERS` that the platform enforces.

    Raises
    ------
    RuntimeError
        When the process has more than one thread: the others would stay free.
    """
    limit_resources(
        memory_bytes=order.memory_bytes,
        cpu_seconds=order.cpu_seconds,
        open_files=order.open_files,
        file_bytes=order.file_bytes,
    )
    if sys.platform != "linux":
        return ("limits",)
    _check_alone()
    counted = can_count_processes()
    done = ["limits"]
    inside = namespaces.isolate()
    if counted:
        limit_processes(order.processes, counted_alone=inside.user)
    namespaces.drop_privileges()
    done.append("privileges")
    if inside.network:
        done.append("namespaces")
    if landlock.version():
        landlock.restrict_files(
            read=(*system_files(), *order.read), run=programs(), write=order.write, devices=DEVICES
        )
        done.append("landlock")
    if filters.available():
        filters.filter_calls(
            new_processes=counted,
            own_group=os.getpgrp() == os.getpid(),
            signals_scoped=landlock.version() >= landlock.SCOPES_SIGNALS,
        )
        done.append("seccomp")
    if counted:
        done.append("processes")
    return tuple(done)


def support() -> dict[str, bool]:
    """Which of `LAYERS` this machine enforces, as a process of its own finds out by confining itself."""
    source = str(Path(__file__).resolve().parents[3])
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    answer = subprocess.run(
        [sys.executable, "-P", "-m", "tsavo.runtimes.confinement"],
        env={**kept, "PYTHONPATH": os.pathsep.join([source, *filter(None, sys.path)]), **QUIET},
        capture_output=True,
        check=False,
        timeout=_ANSWER_SECONDS,
        start_new_session=True,
    )
    done = set(json.loads(answer.stdout)) if answer.returncode == 0 else set()
    return {name: name in done for name in LAYERS}


def _check_alone() -> None:
    try:
        threads = len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return
    if threads > 1:
        raise RuntimeError(f"a process is confined while it has one thread, and this one has {threads}")
