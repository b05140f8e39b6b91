"""Namespaces: a network without any device, and rights that count nowhere outside."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path
from typing import Final

from tsavo.runtimes.confinement.system_calls import prctl, system_call

__all__ = [
    "Isolation",
    "adopt_orphans",
    "drop_privileges",
    "end_with_parent",
    "isolate",
    "isolate_with_processes",
]

_NEW_USER: Final = 0x10000000
_NEW_IPC: Final = 0x08000000
_NEW_NETWORK: Final = 0x40000000
_NEW_PROCESSES: Final = 0x20000000

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_PR_SET_SECUREBITS: Final = 28
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
# Root is a user like any other, for good.
_NOROOT_LOCKED: Final = 0b11
_CAPABILITIES: Final = 64
_CAPABILITY_VERSION_3: Final = 0x20080522


class Isolation:
    """Which namespaces this process has of its own, or shares with none but its kind.

    Attributes
    ----------
    user
        Its processes are counted alone.
    network
        There is no device to reach anybody with.
    """

    def __init__(self, *, user: bool = False, network: bool = False) -> None:
        self.user = user
        self.network = network


# Known to the copies of a process that has entered them for all.
_entered: Final = Isolation()


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def _enter(kinds: int) -> bool:
    """Move this process into new namespaces of these `kinds`; whether that was possible.

    A user namespace keeps the user's own number. The process must have one thread.
    """
    user, group = os.getuid(), os.getgid()
    end_signal = _end_signal()
    try:
        system_call("unshare", kinds)
    except OSError:
        return False
    if kinds & _NEW_USER:
        # Where these cannot be written the process goes on as 'nobody' to itself; its files stay its own.
        for name, words in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with contextlib.suppress(OSError):
                Path(f"/proc/self/{name}").write_text(words)
    _mend(end_signal)
    return True


def isolate() -> Isolation:
    """Leave the network; copies of a process that did so already take a user namespace of their own at the most."""
    if _entered.network:
        return Isolation(user=_enter(_NEW_USER), network=True)
    for user in (_NEW_USER, 0):
        if _enter(user | _NEW_NETWORK | _NEW_IPC):
            _entered.network = True
            return Isolation(user=bool(user), network=True)
    return Isolation(user=_enter(_NEW_USER))


def isolate_with_processes() -> bool:
    """Like `isolate`, for all copies to come, whose processes can then not outlive the first of them.

    The calling process stays where it is among processes: the next one that it starts is the first there.
    """
    for user in (_NEW_USER, 0):
        if _enter(user | _NEW_NETWORK | _NEW_IPC | _NEW_PROCESSES):
            _entered.network = True
            return True
    return False


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent ends."""
    with contextlib.suppress(OSError):
        prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """End when the process that started this one does, whatever this one is doing."""
    with contextlib.suppress(OSError):
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def drop_privileges() -> None:
    """Give up every capability and the ways to get one back."""
    end_signal = _end_signal()
    with contextlib.suppress(OSError):
        prctl(_PR_SET_SECUREBITS, _NOROOT_LOCKED)
    for capability in range(_CAPABILITIES):
        with contextlib.suppress(OSError):
            prctl(_PR_CAPBSET_DROP, capability)
    with contextlib.suppress(OSError):
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header, none = _CapHeader(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    system_call("capset", ctypes.byref(header), ctypes.byref(none))
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _mend(end_signal)


def _end_signal() -> int:
    found = ctypes.c_int(0)
    with contextlib.suppress(OSError):
        prctl(_PR_GET_PDEATHSIG, ctypes.addressof(found))
    return found.value


def _mend(end_signal: int) -> None:
    """New credentials make the kernel forget that this process ends with its parent, and hide its own /proc from it."""
    with contextlib.suppress(OSError):
        prctl(_PR_SET_DUMPABLE, 1)
        prctl(_PR_SET_PDEATHSIG, end_signal)
