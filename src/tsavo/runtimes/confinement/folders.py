"""What a confined process must still read: the Python installation, and the little that the C library looks into."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["DEVICES", "programs", "system_files"]

DEVICES: Final = ("/dev/null", "/dev/zero")

_FILES: Final = (
    *("/dev/urandom", "/dev/random"),
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"),
    *("/etc/localtime", "/usr/share/zoneinfo", "/usr/share/locale"),
    # Its own; never those of other processes, which hold their environments.
    "/proc/self",
    # How many processors there are and how much memory, for libraries that divide their work by it.
    *(
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/kernel/osrelease",
    ),
    *("/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/fs/cgroup"),
    *("/sys/kernel/mm/transparent_hugepage", "/sys/bus/pci/devices"),
)
# A prefix that is more than a Python installation; of these the parts that belong to it.
_SHARED_PREFIXES: Final = ("/", "/usr", "/usr/local")
_PARTS: Final = ("lib", "lib64", "bin", "include")


def system_files() -> list[str]:
    """Folders and files of the system, and where this process finds modules."""
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    package = str(Path(__file__).resolve().parents[2])
    return [*_FILES, package, *(path for path in (*sys.path, *libraries) if path and not _holds_a_home(path))]


def programs() -> list[str]:
    """The Python installation: modules, libraries, and the interpreter, which may start itself again."""
    found: list[str] = []
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        for path in {prefix, str(Path(prefix).resolve())}:
            if path in _SHARED_PREFIXES or _holds_a_home(path):
                found += [str(Path(path) / part) for part in _PARTS]
            else:
                found.append(path)
    # The dynamic linker runs as a program before the interpreter does.
    return [*found, "/lib", "/lib64", "/usr/lib", "/usr/lib64"]


def _holds_a_home(path: str) -> bool:
    """Whether people's own files lie below: such a folder is not given away for the sake of a few modules."""
    whole = Path(path).resolve()
    return any(home == whole or whole in home.parents for home in _homes())


def _homes() -> list[Path]:
    found = [Path("/root"), Path("/home")]
    try:
        import pwd

        found.append(Path(pwd.getpwuid(os.getuid()).pw_dir).resolve())
    except (ImportError, KeyError):
        pass
    return [home for home in found if home != Path("/")]
