"""What loaded models take of the process's memory, and how it gets back to the system."""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["release_memory", "session_bytes"]

# Measured with onnxruntime 1.31 as `OnnxRuntime` sets it up, on compiled artifacts: a logistic regression of 1 KiB
# takes 106 KiB, a boosting of 23 KiB about 250; files of other converters with few nodes take less.
_SESSION_BYTES: Final = 100 << 10
_TIMES_ARTIFACT: Final = 6


def session_bytes(artifact_bytes: int) -> int:
    """About what a session of an artifact of this size takes."""
    return _SESSION_BYTES + _TIMES_ARTIFACT * artifact_bytes


def release_memory() -> None:
    """Give freed memory back to the system, where the C library keeps it otherwise; takes milliseconds."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library, which does as it likes
        return
    trim(0)
