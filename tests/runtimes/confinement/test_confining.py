"""One process confines itself and then tries everything; the tests look at how far it got.

What a platform cannot enforce is not expected of it: each test names the layer that it is about, and is skipped where
`confine` itself says that there is no such layer.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tsavo
from tsavo.runtimes.confinement import LAYERS, QUIET, support

ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([str(Path(tsavo.__path__[0]).parent), *filter(None, sys.path)]),
    "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
    **QUIET,
}

PROGRAM = """
import ctypes, json, mmap, os, resource, socket, subprocess, sys, threading
given = json.loads(sys.argv[1])
os.chdir(given["own"])
os.environ["HOME"] = os.environ["TMPDIR"] = given["own"]
from tsavo.runtimes.confinement import Confinement, confine, mapped_bytes
done = confine(Confinement(
    read=(given["readable"],), write=(given["own"],), memory_bytes=mapped_bytes() + (2 << 30), cpu_seconds=60,
    open_files=64, file_bytes=1 << 20, processes=16))
told = {"done": done}

def attempt(name, action):
    try:
        told[name] = ["done", repr(action())]
    except BaseException as error:
        told[name] = [type(error).__name__, getattr(error, "errno", None)]

def read(path):
    with open(path, "rb") as file:
        return len(file.read())

def write(path):
    with open(path, "w") as file:
        file.write("x")

def mode_after_change(path):
    os.chmod(path, 0)
    return oct(os.stat(path).st_mode & 0o777)

def in_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(1))
    thread.start(); thread.join()
    return found

def forked():
    child = os.fork()
    if child == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def bomb():
    children = []
    try:
        for _ in range(100):
            child = os.fork()
            if child == 0:
                import time
                time.sleep(30)
                os._exit(0)
            children.append(child)
    except OSError:
        pass
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return len(children)

libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    from tsavo.runtimes.confinement.system_calls import system_call
    return system_call(name, *arguments)

above = str(os.getppid())
attempt("read own", lambda: (write("own.txt"), read("own.txt")))
attempt("read readable", lambda: read(given["readable"]))
attempt("write readable", lambda: write(given["readable"]))
attempt("read secret", lambda: read(given["secret"]))
attempt("list home", lambda: os.listdir(given["home"]))
attempt("write canary", lambda: write(os.path.join(given["home"], "canary")))
attempt("remove secret", lambda: os.unlink(given["secret"]))
attempt("read through a link in /proc", lambda: read("/proc/self/root" + given["secret"]))
attempt("read parent's environment", lambda: read("/proc/" + above + "/environ"))
attempt("list processes", lambda: os.listdir("/proc"))
attempt("list temporary", lambda: os.listdir("/tmp"))
attempt("read passwords", lambda: read("/etc/shadow"))
attempt("link", lambda: os.symlink(given["secret"], "answer"))
attempt("hard link", lambda: os.link(given["secret"], "answer"))
attempt("pipe file", lambda: os.mkfifo("fifo"))
attempt("change rights", lambda: mode_after_change("own.txt"))
attempt("internet", lambda: socket.socket().connect(("127.0.0.1", given["port"])))
attempt("unix socket", lambda: socket.socket(socket.AF_UNIX).connect(given["socket"]))
attempt("datagrams", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", given["socket"]))
def through_pair():
    one, other = socket.socketpair()
    one.send(b"x")
    return len(other.recv(1))

attempt("pair", through_pair)
attempt("ring", lambda: call("io_uring_setup", 1, None))
attempt("session", os.setsid)
attempt("group", lambda: os.setpgid(0, 0))
attempt("signal", lambda: os.kill(os.getppid(), 0))
attempt("signal all", lambda: os.kill(-1, 0))
attempt("signal oneself", lambda: os.kill(os.getpid(), 0))
attempt("trace", lambda: call("ptrace", 16, os.getppid(), 0, 0))
attempt("memory of parent", lambda: call("process_vm_readv", os.getppid(), 0, 0, 0, 0, 0))
attempt("limit parent", lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (8, 8)))
attempt("slow parent", lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19))
attempt("namespace", lambda: call("unshare", 0x10000000))
attempt("mount", lambda: call("mount", None, None, None, 0, None))
attempt("survive parent", lambda: call("prctl", 1, 0, 0, 0, 0))
attempt("hidden memory", lambda: os.memfd_create("x"))
attempt("memory", lambda: mmap.mmap(-1, 4 << 30))
attempt("large file", lambda: os.ftruncate(os.open("big", os.O_CREAT | os.O_WRONLY), 2 << 20))
attempt("many files", lambda: [os.open("own.txt", os.O_RDONLY) for _ in range(100)])
attempt("raise limit", lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)))
for descriptor in range(3, 64):
    try:
        os.close(descriptor)
    except OSError:
        pass
attempt("thread", in_thread)
status = open("/proc/self/status").readlines()
attempt("capabilities", lambda: [line.split()[1] for line in status if line[:6] in ("CapEff", "CapPrm", "CapBnd")])
attempt("devices", lambda: [line.split(":")[0].strip() for line in open("/proc/self/net/dev").readlines()[2:]])
attempt("child", forked)
attempt("bomb", bomb)
attempt("shell", lambda: subprocess.run(["/bin/sh", "-c", "true"]).returncode)
import numpy
attempt("numpy", lambda: float((numpy.ones((50, 50)) @ numpy.ones((50, 50))).sum()))
print(json.dumps(told))
"""


class Attempts:
    """What the process told about its attempts, and what is to be seen from outside."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.own = folder / "own"
        for made in (self.home, self.own):
            made.mkdir()
        self.secret = self.home / "secret"
        self.secret.write_text("the password")
        self.readable = folder / "model"
        self.readable.write_text("model")
        self.internet = socket.create_server(("127.0.0.1", 0))
        self.local = socket.socket(socket.AF_UNIX)
        self.local.bind(str(folder / "s"))
        self.local.listen()
        given = {
            "own": str(self.own),
            "readable": str(self.readable),
            "secret": str(self.secret),
            "home": str(self.home),
            "port": self.internet.getsockname()[1],
            "socket": str(folder / "s"),
        }
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(given)],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
        self.told: dict[str, Any] = json.loads(ended.stdout)

    def close(self) -> None:
        self.internet.close()
        self.local.close()

    def refused(self, name: str) -> bool:
        return str(self.told[name][0]) != "done"

    def result(self, name: str) -> Any:
        how, what = self.told[name]
        assert how == "done", (name, how, what)
        return eval(what)


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = Attempts(tmp_path_factory.mktemp("confined"))
    yield found
    found.close()


@pytest.fixture
def needs(attempts: Attempts) -> Callable[[str], None]:
    """Skip where the platform has no such layer."""

    def check(layer: str) -> None:
        assert layer in LAYERS
        if layer not in attempts.told["done"]:
            pytest.skip(f"this platform does not enforce '{layer}'")

    return check


def test_what_it_needs_remains(attempts: Attempts) -> None:
    assert attempts.result("read own")[1] == 1
    assert attempts.result("read readable") == 5
    assert attempts.result("pair") == 1
    assert attempts.result("thread") == [1]
    assert attempts.result("numpy") == 125_000.0
    assert attempts.result("signal oneself") is None


@pytest.mark.parametrize(
    "name",
    [
        "write readable",
        "read secret",
        "list home",
        "write canary",
        "remove secret",
        "read through a link in /proc",
        "read parent's environment",
        "list processes",
        "list temporary",
        "read passwords",
        "link",
        "hard link",
        "shell",
    ],
)
def test_files_that_are_not_its_own_are_out_of_reach(
    attempts: Attempts, needs: Callable[[str], None], name: str
) -> None:
    needs("landlock")
    assert attempts.refused(name)


def test_nothing_changed_outside(attempts: Attempts, needs: Callable[[str], None]) -> None:
    needs("landlock")
    assert [path.name for path in attempts.home.iterdir()] == ["secret"]
    assert attempts.secret.read_text() == "the password"
    assert attempts.readable.read_text() == "model"
    assert not any(path.is_symlink() for path in attempts.own.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "internet",
        "unix socket",
        "datagrams",
        "ring",
        "session",
        "group",
        "signal",
        "signal all",
        "trace",
        "memory of parent",
        "limit parent",
        "slow parent",
        "namespace",
        "mount",
        "survive parent",
        "hidden memory",
        "pipe file",
    ],
)
def test_calls_that_reach_others_are_refused(
    attempts: Attempts, needs: Callable[[str], None], name: str
) -> None:
    needs("seccomp")
    assert attempts.refused(name)


def test_rights_do_not_change_and_nobody_complains(attempts: Attempts, needs: Callable[[str], None]) -> None:
    needs("seccomp")
    assert attempts.result("change rights") != "0o0"


def test_nobody_was_called(attempts: Attempts) -> None:
    if not {"seccomp", "namespaces"} & set(attempts.told["done"]):
        pytest.skip("this platform has no way to forbid the network")
    for server in (attempts.internet, attempts.local):
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("name", ["memory", "large file", "many files", "raise limit"])
def test_limits_hold(attempts: Attempts, name: str) -> None:
    assert attempts.refused(name)


def test_no_capability_is_left(attempts: Attempts, needs: Callable[[str], None]) -> None:
    needs("privileges")
    assert set(attempts.result("capabilities")) == {"0" * 16}


def test_its_network_has_no_device_but_the_loopback_of_its_own(
    attempts: Attempts, needs: Callable[[str], None]
) -> None:
    needs("namespaces")
    assert set(attempts.result("devices")) <= {"lo", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0"}


def test_processes_are_counted_or_not_started(attempts: Attempts) -> None:
    done = attempts.told["done"]
    if "processes" in done:
        assert attempts.result("child") == 7
        assert 0 < attempts.result("bomb") <= 16
    elif "seccomp" in done:
        assert attempts.refused("child")
        assert attempts.result("bomb") == 0
    else:
        pytest.skip("this platform cannot limit processes")


def test_support_tells_what_confining_does(attempts: Attempts) -> None:
    found = support()
    assert tuple(found) == LAYERS
    assert {name for name, held in found.items() if held} == set(attempts.told["done"])


def test_a_process_with_two_threads_is_not_confined_by_half() -> None:
    program = """
import threading
from tsavo.runtimes.confinement import Confinement, confine
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
try:
    confine(Confinement((), (), 1 << 40, None, 64, 1 << 20, 16))
except RuntimeError as error:
    print(error)
end.set()
"""
    if sys.platform != "linux":
        pytest.skip("threads are told apart on Linux only")
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "this one has 2" in ended.stdout


def test_the_process_that_asks_stays_free() -> None:
    support()
    assert os.listdir("/tmp")  # noqa: PTH208
    socket.socket().close()
