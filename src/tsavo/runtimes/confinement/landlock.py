"""Landlock: the kernel lets this process reach no file but those below the paths given here.

References
----------
The kernel's documentation, userspace-api/landlock.rst: what each version (ABI) of it can restrict.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

from tsavo.runtimes.confinement.system_calls import system_call

__all__ = ["SCOPES_SIGNALS", "restrict_files", "version"]

SCOPES_SIGNALS: Final = 6
"""From this version on a process can send signals only to those that are restricted with it."""

_EXECUTE, _WRITE, _READ, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK = 1 << 6, 1 << 7, 1 << 8, 1 << 9
_MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = 1 << 10, 1 << 11, 1 << 12
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST_VERSION: Final = (1 << 13) - 1
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1

_ON_FILES: Final = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL_DEV
# Neither links, sockets, pipes nor devices: a link in its folder could lead its reader elsewhere.
_OWN_FOLDER: Final = (
    _READ | _READ_DIR | _WRITE | _TRUNCATE | _MAKE_REG | _MAKE_DIR | _REMOVE_FILE | _REMOVE_DIR | _REFER
)
_GET_VERSION: Final = 1
_PATH_BENEATH: Final = 1


def version() -> int:
    """The kernel's version of Landlock; 0 when it has none, or it is switched off."""
    try:
        return system_call("landlock_create_ruleset", None, 0, _GET_VERSION)
    except OSError:
        return 0


def restrict_files(
    *, read: Iterable[str], run: Iterable[str], write: Iterable[str], devices: Iterable[str]
) -> None:
    """Forbid every file that is not below one of these paths, now and for ever; ``no_new_privs`` must be set.

    Parameters
    ----------
    read, run, write
        Folders and files to read; to read and to run programs from; and to do with as one likes, save links, sockets
        and devices. What does not exist is left out.
    devices
        Device files to read and write.

    Raises
    ------
    OSError
        When the kernel has no Landlock.
    """
    known = version()
    handled = _handled(known)
    # struct landlock_ruleset_attr: an old kernel wants to hear of nothing that it does not know.
    order = struct.pack("=QQQ", handled, _BIND_TCP | _CONNECT_TCP, _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    size = 8 if known < 4 else 16 if known < SCOPES_SIGNALS else 24
    ruleset = system_call("landlock_create_ruleset", ctypes.c_char_p(order), size, 0)
    try:
        for paths, allowed in (
            (read, _READ | _READ_DIR),
            (run, _READ | _READ_DIR | _EXECUTE),
            (write, _OWN_FOLDER),
            (devices, _READ | _WRITE),
        ):
            for path in paths:
                _allow(ruleset, path, allowed & handled)
        system_call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _handled(known: int) -> int:
    return (
        _FIRST_VERSION
        | (_REFER if known >= 2 else 0)
        | (_TRUNCATE if known >= 3 else 0)
        | (_IOCTL_DEV if known >= 5 else 0)
    )


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        folder = stat.S_ISDIR(os.fstat(parent).st_mode)
        # struct landlock_path_beneath_attr, which is packed.
        rule = struct.pack("=Qi", allowed if folder else allowed & _ON_FILES, parent)
        # Some file systems hold no rules; what lies on them stays forbidden.
        with contextlib.suppress(OSError):
            system_call("landlock_add_rule", ruleset, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(parent)
