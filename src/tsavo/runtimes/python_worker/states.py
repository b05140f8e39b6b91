"""How a loaded version is doing, in words for people and programs."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["READY", "RuntimeState"]


class RuntimeState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of one version in one gateway process.

    Attributes
    ----------
    name
        ``ready``: it answers. ``idle``: it is not in memory, and the next request loads it. ``loading``: it is on its
        way. ``backing-off``: it failed, and is tried again in `retry_after` seconds. ``failed``: it cannot be loaded.
    failures
        How often it failed since it last ran well for a while.
    reason
        What went wrong last; kept until it has run well for a while.
    alone
        It has a worker process of its own, because it broke or held up one that it shared.
    process
        Process id of its worker.
    """

    name: Literal["ready", "idle", "loading", "backing-off", "failed"]
    failures: int = 0
    reason: str = ""
    retry_after: float | None = None
    alone: bool = False
    process: int | None = None


READY = RuntimeState("ready")
