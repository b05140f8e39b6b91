"""Pickles and their kin: without trust nothing runs; with trust it runs where it reaches nobody.

The programs try the harm and leave what they got in their own folder, ``loot``; the scene looks for the secret there
and everywhere else.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import sys
import time
import zlib
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from tests.hostile.payloads import LIMITS, SECRET, Calls, Scene, runs
from tsavo.runtimes import WorkerLimits
from tsavo.runtimes.confinement import support
from tsavo.vocabulary import Refused, Unreadable, Untrusted

HARM = {
    "command": "os.system('touch ' + canary)",
    "evaluated": "eval('open(canary, chr(119))')",
    "canary": "open(canary, 'w')",
    "removes": "os.unlink(secret)",
    "overwrites": "open(secret, 'w').write('gone')",
    "truncates": "os.truncate(secret, 0)",
    "renames": "os.rename(secret, 'loot')",
    "rights": "os.chmod(home, 0)",
    "times": "os.utime(secret, (0, 0))",
    "connects": "socket.create_connection(('127.0.0.1', port), 1)",
    "unix": "s = socket.socket(socket.AF_UNIX); s.settimeout(1); s.connect(unix)",
    "datagram": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', unix)",
    "environment": "leave(repr(dict(os.environ)))",
    "own start": "leave(open('/proc/self/environ').read())",
    "parent": "leave(open(f'/proc/{os.getppid()}/environ').read())",
    "console": "leave(open(f'/proc/{console}/environ').read())",
    "memory": "leave(open(f'/proc/{console}/maps').read())",
    "secret": "leave(open(secret).read())",
    "through proc": "leave(open('/proc/self/root' + secret).read())",
    "symbolic": "os.symlink(secret, 'golden.parquet')",
    "hard": "os.link(secret, 'reference.parquet')",
    "kills": "os.kill(console, 9)",
    "kills parent": "os.kill(os.getppid(), 9)",
    "kills all": "os.kill(-1, 9)",
    "slows": "os.setpriority(os.PRIO_PROCESS, console, 19)",
    "starves": "resource.prlimit(console, resource.RLIMIT_NOFILE, (3, 3))",
    "session": "os.setsid()",
    "shell": "subprocess.run(['/bin/sh', '-c', 'cat ' + secret + ' > loot'], check=True)",
    "in memory": "os.execve(os.memfd_create('x'), ['x'], {})",
    "modules": "open(os.path.join(os.path.dirname(os.__file__), 'tsavo_canary.py'), 'w')",
    "other jobs": "leave(repr(os.listdir('..')))",
    "devices": "os.mknod('disk', 0o60666, 0)",
}
# It is told that all went well, or may know: its own environment holds nothing.
NOTHING_HAPPENS = {"rights", "times", "environment", "own start", "command"}


def _program(scene: Scene, harm: str) -> str:
    """Try the harm whatever it raises, and say in the job's own folder how it went."""
    return f"""
import os, resource, socket, subprocess
home, secret, canary = {str(scene.home)!r}, {str(scene.secret)!r}, {str(scene.canary)!r}
port, unix, console = {scene.port}, {str(scene.local_path)!r}, {os.getpid()}
def leave(words):
    with open('loot', 'a') as loot:
        loot.write(words)
try:
    {harm}
except BaseException as error:
    leave('refused: ' + type(error).__name__)
"""


def _file(scene: Scene, program: str) -> Path:
    return scene.file(runs(program), "model.pkl")


@pytest.mark.parametrize("name", HARM)
def test_without_trust_nothing_runs(scene: Scene, name: str) -> None:
    error = scene.refused(_file(scene, _program(scene, HARM[name])))
    assert isinstance(error, Untrusted)
    assert not list(scene.work.iterdir())


@pytest.mark.parametrize("name", HARM)
def test_with_trust_it_reaches_nobody(scene: Scene, name: str) -> None:
    if sys.platform == "linux" and not (support()["landlock"] and support()["seccomp"]):
        pytest.skip("this platform confines no files and calls")
    error = scene.refused(_file(scene, _program(scene, HARM[name])), trusted=True)
    assert error.kind in {"invalid", "unreadable", "refused"}
    assert not (Path(os.__file__).parent / "tsavo_canary.py").exists()
    (loot,) = scene.work.glob("prepare-*/loot") if name not in NOTHING_HAPPENS else [None]
    assert loot is None or loot.read_text().startswith("refused: ")


@pytest.mark.parametrize(
    "wrap",
    [
        gzip.compress,
        bz2.compress,
        zlib.compress,
        lambda content: b"\x80\x04" + content[2:],
        lambda content: pickle.dumps([LinearRegression(), content]) + content,
    ],
    ids=["gzip", "bz2", "zlib", "protocol", "behind a model"],
)
def test_wrapped_pickles_need_trust_like_plain_ones(scene: Scene, wrap: object) -> None:
    content = wrap(runs(_program(scene, HARM["canary"])))  # type: ignore[operator]
    assert isinstance(scene.refused(scene.file(content)), Untrusted)


def test_joblib_and_cloudpickle_need_trust_too(scene: Scene) -> None:
    program = _program(scene, HARM["canary"])
    buffer = io.BytesIO()
    joblib.dump([np.zeros(3), Calls(exec, program)], buffer)
    for content in (buffer.getvalue(), cloudpickle.dumps(lambda: eval(program))):
        assert isinstance(scene.refused(scene.file(content)), Untrusted)
        scene.refused(scene.file(content), trusted=True)


def test_bombs_of_every_kind_end(scene: Scene) -> None:
    cases = {
        "[bytearray(1 << 28) for _ in range(100)]": "more memory",
        "while True: pass": "processor time",
        "__import__('time').sleep(600)": "too long",
        "open('big', 'wb').truncate(1 << 40)": "large",
        "__import__('os')._exit(0)": "without an answer",
        "__import__('ctypes').string_at(0)": "SIGSEGV",
        "__import__('os').abort()": "SIGABRT",
        "__import__('os').kill(__import__('os').getpid(), 9)": "SIGKILL",
        "raise KeyboardInterrupt": "without an answer",
        "__import__('sys').setrecursionlimit(10**9); f = lambda: f(); f()": "",
        "print('x' * (8 << 20)); raise SystemExit(3)": "code 3",
    }
    for program, words in cases.items():
        limits = WorkerLimits(
            memory_bytes=1 << 30,
            cpu_seconds=2,
            wall_seconds=3.0 if "sleep" in program else 60.0,
            file_bytes=1 << 20,
        )
        error = scene.refused(_file(scene, program), trusted=True, limits=limits)
        assert words in str(error), program


def test_a_fork_bomb_leaves_nothing_behind(scene: Scene) -> None:
    program = """
import os, time
try:
    while True:
        if os.fork() == 0:
            while True:
                with open('beat', 'a') as beat:
                    beat.write('.')
                time.sleep(0.01)
except OSError:
    open('beat', 'a').write('.')
    time.sleep(0.2)
"""
    if sys.platform == "linux" and not support()["seccomp"]:
        pytest.skip("this platform cannot limit processes")
    scene.refused(_file(scene, program), trusted=True)
    (beat,) = scene.work.glob("prepare-*/beat")
    then = beat.stat().st_size
    time.sleep(0.1)
    assert beat.stat().st_size == then


def test_an_answer_of_its_own_is_not_believed(scene: Scene) -> None:
    """It writes what the worker would, with links in place of files, or deletes its folder."""
    answer = '{"signature":{"inputs":[],"outputs":[],"task":"generic"},"reference_rows":1,"golden_rows":1}'
    for program in (
        f"open('answer.json', 'w').write({answer!r}); os._exit(0)",
        f"open('answer.json', 'w').write({answer!r}); os.mkdir('artifact.onnx'); os._exit(0)",
        "open('answer.json', 'w').write('[' * 100000); os._exit(0)",
        "open('answer.json', 'w').write('{\"error\": 3}'); os._exit(0)",
        "open('answer.json', 'wb').write(bytes(1 << 20)); os._exit(0)",
        "os.mkdir('answer.json'); os._exit(0)",
        "import shutil; shutil.rmtree(os.getcwd(), ignore_errors=True); os._exit(0)",
    ):
        error = scene.refused(_file(scene, f"import os; {program}"), trusted=True)
        assert isinstance(error, Unreadable), program


def test_a_loaded_object_that_bites_when_it_is_asked(scene: Scene) -> None:
    program = f"""
import numpy
class Model:
    n_features_in_ = 2
    def predict(self, rows):
        open({str(scene.canary)!r}, 'w')
    def __getattr__(self, name):
        raise RuntimeError(open({str(scene.secret)!r}).read())
    def __repr__(self):
        raise SystemExit('nobody shall print this')
"""
    content = pickle.dumps(Calls(eval, f"(lambda s: (exec({program!r}, s), s['Model']())[1])({{}})"))
    if sys.platform == "linux" and not support()["landlock"]:
        pytest.skip("this platform confines no files")
    scene.refused(scene.file(content), trusted=True)


def test_an_error_that_carries_much_is_cut(scene: Scene) -> None:
    error = scene.refused(_file(scene, f"raise ValueError({'x' * 5000!r})"), trusted=True)
    assert len(str(error)) < 1_500
    assert isinstance(error, Refused | Unreadable)
    assert SECRET not in str(error)
    assert LIMITS.wall_seconds > 0
