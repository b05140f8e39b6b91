"""A running Tsavo is handed hostile files, trusted ones among them, while callers score: they notice nothing."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import httpx
import pytest
from onnx import TensorProto, helper

from tests.app.conftest import Running, running_on, tsavo
from tests.app.models import save_small_model
from tests.hostile.payloads import Scene, packed, runs
from tsavo.runtimes.confinement import support

BODY = {"inputs": [{"name": name, "shape": [1], "datatype": "FP64", "data": [0.5]} for name in "abc"]}


class Callers:
    """Scores one row after the other until told to stop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers = 0
        self.troubles: list[str] = []

    def __enter__(self) -> Callers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=20) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(self._url, json=BODY)
                except httpx.HTTPError as error:
                    self.troubles.append(repr(error))
                    continue
                self.answers += 1
                if answer.status_code != 200 or "decision_id" not in answer.text:
                    self.troubles.append(f"{answer.status_code} {answer.text}")


def _hostile(scene: Scene, gateway: list[int]) -> dict[str, Path]:
    harm = f"""
import ctypes, os, socket
secret, canary = {str(scene.secret)!r}, {str(scene.canary)!r}
for action in (
    lambda: open(canary, 'w'),
    lambda: socket.create_connection(('127.0.0.1', {scene.port}), 1),
    lambda: [os.kill(pid, 9) for pid in {gateway!r}],
    lambda: os.kill(os.getppid(), 9),
    lambda: os.setsid(),
    lambda: open('loot', 'w').write(repr(dict(os.environ)) + open(secret).read()),
):
    try:
        action()
    except OSError:
        pass
"""
    looped = helper.make_model(
        helper.make_graph(
            [helper.make_node("Exfiltrate", ["x"], ["y"], domain="evil")],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        )
    )
    return {
        "harm": scene.file(runs(harm), "harm.pkl"),
        "memory": scene.file(runs("[bytearray(1 << 28) for _ in range(1000)]"), "memory.pkl"),
        "crash": scene.file(runs("import ctypes; ctypes.string_at(0)"), "crash.pkl"),
        "bomb": scene.file(runs("import os\nwhile True: os.fork()"), "bomb.pkl"),
        "exit": scene.file(runs("import os; print('x' * (4 << 20)); os._exit(0)"), "exit.pkl"),
        "paths": packed(scene.folder / "paths.zip", {"MLmodel": "flavors: {}", "../canary": "x"}),
        "onnx": scene.file(looped.SerializeToString(), "model.onnx"),
        "noise": scene.file(os.urandom(4096), "noise.bin"),
    }


def _pids(running: Running) -> list[int]:
    return running.children("tsavo.app.gateway_process") + running.children("tsavo.app.console_process")


def test_the_gateway_answers_everybody_meanwhile(scene: Scene) -> None:
    if sys.platform == "linux" and not support()["seccomp"]:
        pytest.skip("this platform cannot confine a worker")
    model, reference = save_small_model(scene.folder)
    with running_on(scene.folder / "tsavo") as running:
        running.tsavo(
            "deploy",
            str(model),
            "--name",
            "small",
            "--reference",
            str(reference),
            "--target",
            "target",
            "--trust",
        )
        before = _pids(running)
        assert before
        files = _hostile(scene, [*before, os.getpid()])
        with Callers(f"{running.gateway}/v2/models/small/infer") as callers:
            for name, path in files.items():
                seen = callers.answers
                refused = tsavo("register", str(path), "--name", name, "--trust", "--home", str(running.home))
                assert refused.returncode == 1, (name, refused)
                assert "Traceback" not in refused.stderr + refused.stdout
                scene.nothing_happened(refused.stderr + refused.stdout)
                assert callers.answers > seen
        assert callers.troubles == []
        assert _pids(running) == before
        assert [model["name"] for model in running.tsavo("ls", "models")] == ["small"]
