"""Seccomp: which calls the kernel refuses to this process and to all that it starts, whatever the paths.

A list of what is refused, and not of what is allowed: numerical libraries use hundreds of calls, and what they may do
to files is for Landlock to say. What is newer than this list is refused as unknown.

References
----------
The kernel's documentation, userspace-api/seccomp_filter.rst; `struct sock_filter` in linux/filter.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Iterable
from typing import Final, TypeAlias

from tsavo.runtimes.confinement.system_calls import AMD64, NEWEST, machine, number, system_call

__all__ = ["available", "filter_calls", "program"]

Instruction: TypeAlias = tuple[int, int, int, int]

_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_ANY, _AND, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_ERRNO, _DATA = 0x00050000, 0xFFFF
_SET_FILTER, _GET_ACTION, _ALL_THREADS = 1, 2, 1
_MACHINES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# x86_64 calls with this bit are for 32-bit pointers: a second door to the same kernel.
_SECOND_TABLE: Final = 0x40000000

_AF_UNIX: Final = 1
_SOCKET_KIND, _STREAM, _PACKETS = 0xF, 1, 5
_EVERYBODY: Final = 0xFFFFFFFF
_THREAD: Final = 0x00010000
_NEW_NAMESPACES: Final = 0x7E020080
_SET_END_SIGNAL: Final = 1
_PUSH_BACK_INPUT, _CONSOLE, _OWNER_OF_SOCKET, _GROUP_OF_SOCKET = 0x5412, 0x541C, 0x8901, 0x8902
_SET_OWNER, _SET_OWNER_MORE = 8, 15

# Talking to anybody: sockets that are connected pairs remain. POSIX and System V queues reach other processes too.
_NETWORK: Final = ("socket", "connect", "bind", "listen", "accept", "accept4")
_QUEUES: Final = (
    "mq_open",
    "mq_unlink",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "semget",
    "semop",
    "semtimedop",
    "semctl",
)
_SHARED: Final = ("shmget", "shmat", "shmctl")
# Other processes.
_PROCESSES: Final = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp"),
    *(
        "pidfd_open",
        "pidfd_getfd",
        "pidfd_send_signal",
        "rt_sigqueueinfo",
        "migrate_pages",
        "move_pages",
        "setpriority",
    ),
)
# Leaving the group of processes that will be killed.
_LEAVING: Final = ("setsid", "setpgid")
# Another view of the machine, and its administration.
_MACHINE: Final = (
    *(
        "unshare",
        "setns",
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "move_mount",
        "open_tree",
        "fsopen",
        "fsconfig",
    ),
    *(
        "fsmount",
        "fspick",
        "mount_setattr",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "keyctl",
        "add_key",
        "request_key",
    ),
    *(
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
        "create_module",
        "delete_module",
        "reboot",
    ),
    *(
        "swapon",
        "swapoff",
        "acct",
        "quotactl",
        "quotactl_fd",
        "syslog",
        "settimeofday",
        "clock_settime",
        "clock_adjtime",
    ),
    *("adjtimex", "sethostname", "setdomainname", "iopl", "ioperm", "modify_ldt", "vhangup", "fanotify_init"),
    *("fanotify_mark", "name_to_handle_at", "open_by_handle_at", "nfsservctl", "sysfs", "uselib", "ustat"),
    # Landlock lets anybody watch a folder for changes.
    "inotify_add_watch",
)
# Memory that the limit on memory does not see.
_UNCOUNTED: Final = ("memfd_create", "memfd_secret")
# The ways around this filter, or newer doors to the same calls; libraries go on when they are told there are none.
_MISSING: Final = ("io_uring_setup", "io_uring_enter", "io_uring_register", "clone3")
_ATTRIBUTES: Final = ("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr")
_DEVICES: Final = ("mknod", "mknodat")
# Landlock does not mind changes of owner, rights and times, so nothing happens here, and the caller is told that all
# went well: libraries that copy a file into their own folder copy those too.
_NOTHING_HAPPENS: Final = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("utime", "utimes", "utimensat", "futimesat"),
)
# Calls whose argument of this number is another process, or 0 for oneself.
_ONLY_ONESELF: Final = {
    "prlimit64": 0,
    "sched_setscheduler": 0,
    "sched_setparam": 0,
    "sched_setattr": 0,
    "ioprio_set": 1,
}


def available() -> bool:
    """Whether the kernel filters calls on this processor."""
    if machine() is None:
        return False
    try:
        system_call("seccomp", _GET_ACTION, 0, ctypes.c_char_p(struct.pack("=I", _ERRNO)))
    except OSError:
        return False
    return True


def filter_calls(*, new_processes: bool, own_group: bool, signals_scoped: bool) -> None:
    """Refuse the calls from now on, in every thread; ``no_new_privs`` must be set.

    Parameters
    ----------
    new_processes
        Whether it may start processes, not threads only.
    own_group
        Whether it leads its group of processes, so that a signal to the whole group is its own affair.
    signals_scoped
        Whether Landlock keeps its signals among the processes that it started.

    Raises
    ------
    OSError
        When the kernel does not filter calls.
    """
    on = machine()
    if on is None:
        raise OSError(errno.ENOSYS, "no table of calls for this processor")
    own = None if signals_scoped and new_processes else os.getpid()
    instructions = program(on, new_processes=new_processes, own_group=own_group, own=own)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    held = ctypes.create_string_buffer(code, len(code))
    order = struct.pack("@HP", len(instructions), ctypes.addressof(held))
    system_call("seccomp", _SET_FILTER, _ALL_THREADS, ctypes.c_char_p(order))


def program(on: str, *, new_processes: bool, own_group: bool, own: int | None) -> list[Instruction]:
    """The filter as instructions of the classic packet filter.

    Parameters
    ----------
    own
        The number of this process, the only one to which it may send signals; ``None`` when others see to that.
    """
    code: list[Instruction] = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_JUMP_EQUAL, 1, 0, _MACHINES[on]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if on == AMD64:
        code += [(_JUMP_ANY, 0, 1, _SECOND_TABLE), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    code += [(_JUMP_GREATER, 0, 1, NEWEST), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for name, body in _bodies(new_processes=new_processes, own_group=own_group, own=own):
        at = number(name, on)
        if at is not None:
            code += [(_JUMP_EQUAL, 0, len(body), at), *body]
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _bodies(
    *, new_processes: bool, own_group: bool, own: int | None
) -> Iterable[tuple[str, list[Instruction]]]:
    """What becomes of each call; every one ends in an answer."""
    oneself = set() if own is None else {own}
    for names, code in (
        ((*_NETWORK, *_PROCESSES, *_LEAVING, *_MACHINE, *_DEVICES), errno.EPERM),
        ((*_QUEUES, *_SHARED, *_UNCOUNTED, *_MISSING), errno.ENOSYS),
        (_ATTRIBUTES, errno.ENOTSUP),
        (_NOTHING_HAPPENS, 0),
    ):
        for name in names:
            yield name, [_refuse(code)]
    for name, position in _ONLY_ONESELF.items():
        yield name, _only(position, {0, *oneself})
    # Thread pools bind their threads to processors, by the threads' numbers, and complain when they cannot.
    yield "sched_setaffinity", [*_unless(0, {0, *oneself}, 0), (_RETURN, 0, 0, _ALLOW)]
    if own is None:
        yield "kill", _except(0, {_EVERYBODY})
    else:
        yield "kill", _only(0, {own, 0} if own_group else {own})
        for name in ("tgkill", "rt_tgsigqueueinfo", "tkill"):
            yield name, _only(0, {own})
    yield (
        "socketpair",
        [
            *_unless(0, {_AF_UNIX}, errno.EPERM),
            # Datagrams name their receiver: such a socket would reach others.
            *_masked(1, _SOCKET_KIND),
            (_JUMP_EQUAL, 2, 0, _STREAM),
            (_JUMP_EQUAL, 1, 0, _PACKETS),
            _refuse(errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    yield "ioctl", _except(1, {_PUSH_BACK_INPUT, _CONSOLE, _OWNER_OF_SOCKET, _GROUP_OF_SOCKET})
    yield "fcntl", _except(1, {_SET_OWNER, _SET_OWNER_MORE})
    yield "personality", _only(0, {0, 0xFFFFFFFF})
    yield (
        "prctl",
        [
            *_argument(0),
            (_JUMP_EQUAL, 0, 3, _SET_END_SIGNAL),
            *_argument(1),
            (_JUMP_EQUAL, 1, 0, signal.SIGKILL),
            _refuse(errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    yield "clone", _clone(new_processes=new_processes)
    if not new_processes:
        for name in ("fork", "vfork"):
            yield name, [_refuse(errno.EAGAIN)]


def _clone(*, new_processes: bool) -> list[Instruction]:
    namespaces = [*_argument(0), (_JUMP_ANY, 0, 1, _NEW_NAMESPACES), _refuse(errno.EPERM)]
    threads = [] if new_processes else [(_JUMP_ANY, 1, 0, _THREAD), _refuse(errno.EAGAIN)]
    return [*namespaces, *threads, (_RETURN, 0, 0, _ALLOW)]


def _refuse(code: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | (code & _DATA))


def _argument(position: int) -> list[Instruction]:
    """Load the low half of an argument; the arguments looked at are 32-bit numbers to the kernel."""
    return [(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * position)]


def _masked(position: int, mask: int) -> list[Instruction]:
    return [*_argument(position), (_AND, 0, 0, mask)]


def _unless(position: int, values: set[int], code: int) -> list[Instruction]:
    """Answer `code` unless the argument is one of `values`; then go on behind."""
    listed = sorted(values)
    jumps = [(_JUMP_EQUAL, len(listed) - at, 0, value) for at, value in enumerate(listed)]
    return [*_argument(position), *jumps, _refuse(code)]


def _only(position: int, values: set[int]) -> list[Instruction]:
    return [*_unless(position, values, errno.EPERM), (_RETURN, 0, 0, _ALLOW)]


def _except(position: int, values: set[int]) -> list[Instruction]:
    listed = sorted(values)
    jumps = [(_JUMP_EQUAL, len(listed) - at, 0, value) for at, value in enumerate(listed)]
    return [*_argument(position), *jumps, (_RETURN, 0, 0, _ALLOW), _refuse(errno.EPERM)]
