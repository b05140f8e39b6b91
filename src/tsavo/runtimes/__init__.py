"""Runs versions in process, and prepares new ones in a worker process of their own.

What comes in: a version and its artifact on disk, or a model file that nobody has looked into yet. What goes out:
a `Runtime` that turns batches into outputs; or a `Prepared` version with its checks. It must never deserialise a
model file in the calling process, touch the network, or know where artifacts are kept.
"""

from tsavo.runtimes.jobs import Prepared, PrepareJob, WorkerLimits
from tsavo.runtimes.onnx_runtime import OnnxRuntime
from tsavo.runtimes.preparation import prepare
from tsavo.runtimes.runtime import Runtime, load

__all__ = ["OnnxRuntime", "PrepareJob", "Prepared", "Runtime", "WorkerLimits", "load", "prepare"]
