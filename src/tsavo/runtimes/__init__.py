"""Runs versions in process or in a Python worker, and prepares new ones in a worker process of their own.

What comes in: a version and its artifact on disk, or a model file that nobody has looked into yet. What goes out:
a `Runtime` that turns batches into outputs; or a `Prepared` version with its checks. It must never deserialise a
model file in the calling process, touch the network, or know where artifacts are kept.

Importing this package is cheap, for a Python worker may live in an environment that has nothing of ours but msgspec and
numpy: each name is loaded when it is first used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

# Before anybody imports it: since 1.31 onnxruntime reports its use to its makers, from a thread of its own.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from tsavo.runtimes.environments import Environments, Lock
    from tsavo.runtimes.jobs import NeedsEnvironment, Prepared, PrepareJob, WorkerLimits
    from tsavo.runtimes.memory import release_memory, session_bytes
    from tsavo.runtimes.onnx_runtime import OnnxRuntime
    from tsavo.runtimes.preparation import prepare
    from tsavo.runtimes.python_worker.holding import holding
    from tsavo.runtimes.python_worker.launching import ProcessLimits
    from tsavo.runtimes.python_worker.pool import PoolLimits, WorkerPool
    from tsavo.runtimes.python_worker.runtime import PythonRuntime
    from tsavo.runtimes.python_worker.states import RuntimeState
    from tsavo.runtimes.runtime import Runtime, load
    from tsavo.runtimes.starting import FORK_SERVER
    from tsavo.runtimes.verification import ask_again
    from tsavo.runtimes.verify_jobs import VerifyItem, VerifyJob

__all__ = [
    "FORK_SERVER",
    "Environments",
    "Lock",
    "NeedsEnvironment",
    "OnnxRuntime",
    "PoolLimits",
    "PrepareJob",
    "Prepared",
    "ProcessLimits",
    "PythonRuntime",
    "Runtime",
    "RuntimeState",
    "VerifyItem",
    "VerifyJob",
    "WorkerLimits",
    "WorkerPool",
    "ask_again",
    "holding",
    "load",
    "prepare",
    "release_memory",
    "session_bytes",
]

_HOMES: Final = {
    "FORK_SERVER": "starting",
    "Environments": "environments",
    "Lock": "environments",
    "NeedsEnvironment": "jobs",
    "OnnxRuntime": "onnx_runtime",
    "PoolLimits": "python_worker.pool",
    "PrepareJob": "jobs",
    "Prepared": "jobs",
    "ProcessLimits": "python_worker.launching",
    "PythonRuntime": "python_worker.runtime",
    "Runtime": "runtime",
    "RuntimeState": "python_worker.states",
    "WorkerLimits": "jobs",
    "VerifyItem": "verify_jobs",
    "VerifyJob": "verify_jobs",
    "WorkerPool": "python_worker.pool",
    "ask_again": "verification",
    "holding": "python_worker.holding",
    "load": "runtime",
    "prepare": "preparation",
    "release_memory": "memory",
    "session_bytes": "memory",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tsavo.runtimes' has no attribute '{name}'")
    return getattr(import_module(f"tsavo.runtimes.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
