"""Models that cannot be compiled, each asked in its own way in a process that may die without harm.

What comes in: a version whose source runs as it is, and batches. What goes out: its outputs, checked against its
signature, or the reason why there are none. The gateway's side (`pool`, `runtime`) must never read a model file, wait
in a thread, or believe what a worker process says; the worker's side (`harness`) runs in any Python environment, so it
imports the standard library, numpy, msgspec and this package's own cheap modules only.

Importing this package is cheap: its modules are imported by name, each on its own side.
"""
