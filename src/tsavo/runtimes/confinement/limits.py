"""Limits of the process itself: how much memory, processor time, files and processes it may have."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path

__all__ = ["can_count_processes", "limit_processes", "limit_resources", "mapped_bytes"]


def limit_resources(*, memory_bytes: int, cpu_seconds: int | None, open_files: int, file_bytes: int) -> None:
    """Set the limits; they can never be raised again by this process."""
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_NOFILE: open_files,
        resource.RLIMIT_FSIZE: file_bytes,
    }
    for what, value in wanted.items():
        allowed = _within(what, value)
        resource.setrlimit(what, (allowed, allowed))
    if cpu_seconds is not None:
        # Beyond the soft limit on processor time comes a signal that says so, beyond the hard one a bare kill.
        allowed = _within(resource.RLIMIT_CPU, cpu_seconds + 1)
        resource.setrlimit(resource.RLIMIT_CPU, (max(allowed - 1, 1), allowed))
    # When the machine runs out of memory, this process is the one to go.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def can_count_processes() -> bool:
    """Whether the kernel holds this user to a number of processes: it does not for the machine's real root."""
    if os.getuid() != 0:
        return True
    try:
        inside, outside, _ = Path("/proc/self/uid_map").read_text().split()[:3]
    except (OSError, ValueError):
        return False
    return (inside, outside) != ("0", "0")


def limit_processes(most: int, *, counted_alone: bool) -> None:
    """At most `most` processes and threads, this one included.

    Parameters
    ----------
    counted_alone
        Nobody else is counted with us: this process has a user namespace of its own. Otherwise the kernel counts
        everything that the user runs, and that is added.
    """
    value = most if counted_alone else most + _tasks_of_user()
    allowed = _within(resource.RLIMIT_NPROC, value)
    resource.setrlimit(resource.RLIMIT_NPROC, (allowed, allowed))


def mapped_bytes() -> int:
    """The address space that this process has now; 0 where the platform does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0
    return pages * resource.getpagesize()


def _within(what: int, value: int) -> int:
    hard = resource.getrlimit(what)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _tasks_of_user() -> int:
    if sys.platform != "linux":
        return 0
    found, own = 0, os.getuid()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == own:
                    found += len(list((entry / "task").iterdir()))
    return found
