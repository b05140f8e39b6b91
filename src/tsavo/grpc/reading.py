"""Messages on their way in: how many may be slow at the same time, and for how long.

gRPC keeps what it has of a message until all of it is there, as much memory as the largest message may have. A message
that is complete is counted and let go of within milliseconds; one that is sent slowly, or never to its end, would be
kept, so that few of them may be. What arrives within `PATIENCE` is bounded by what the network brings in that time.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc  # type: ignore[import-untyped]

from tsavo.vocabulary import Overloaded, Unreadable

__all__ = ["PATIENCE", "Reading"]

PATIENCE: Final = 1.0
"""Seconds after which a message that is not complete is a slow one."""

_RETRY_SECONDS: Final = 1.0


class Reading:
    """Reads the one message of a call.

    Parameters
    ----------
    slow
        Messages that may be slow at the same time.
    seconds
        That a message may take.
    """

    def __init__(self, *, slow: int, seconds: float) -> None:
        self._most = slow
        self._seconds = seconds
        self.slow = 0

    async def read(self, context: Any) -> bytes:
        """The message.

        Raises
        ------
        Overloaded
            When it is slow, and enough others are.
        Unreadable
            When it was not complete in time, or there is none.
        """
        waiting = _Waiting(self)
        try:
            body = await context.read()
        except asyncio.CancelledError:
            if waiting.refusal is None or waiting.task.uncancel():
                raise
            raise waiting.refusal from None
        finally:
            waiting.end()
        if body is grpc.aio.EOF:
            raise Unreadable("there is no message", field="message", expected="one message of the protocol")
        message: bytes = body
        return message

    def refusal(self) -> Overloaded | None:
        """Why no further message may be slow, or ``None``."""
        if self.slow < self._most:
            return None
        return Overloaded(
            "too many messages arrive slowly at the same time",
            field="message",
            found=self.slow,
            expected=f"at most {self._most}, or the whole message within {PATIENCE:g} s",
            next_step="send it again",
            retry_after=_RETRY_SECONDS,
        )

    def too_late(self) -> Unreadable:
        """Why a slow message is given up."""
        return Unreadable(
            "the message did not arrive in time",
            field="message",
            expected=f"all of it within {self._seconds:g} s",
        )

    @property
    def seconds_left(self) -> float:
        """Of a message that has become a slow one."""
        return max(0.0, self._seconds - PATIENCE)


class _Waiting:
    """A message that is waited for by the task which made this."""

    __slots__ = ("_loop", "_reading", "_slow", "_timer", "refusal", "task")

    def __init__(self, reading: Reading) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a message is read by a task")
        self.task = task
        self.refusal: Overloaded | Unreadable | None = None
        self._reading = reading
        self._slow = False
        self._loop = task.get_loop()
        self._timer = self._loop.call_later(PATIENCE, self._late)

    def _late(self) -> None:
        refusal = self._reading.refusal()
        if refusal is not None:
            self._give_up(refusal)
            return
        self._slow = True
        self._reading.slow += 1
        self._timer = self._loop.call_later(self._reading.seconds_left, self._too_late)

    def _too_late(self) -> None:
        self._give_up(self._reading.too_late())

    def _give_up(self, refusal: Overloaded | Unreadable) -> None:
        self.refusal = refusal
        self.task.cancel()

    def end(self) -> None:
        """It is here, or given up."""
        self._timer.cancel()
        if self._slow:
            self._slow = False
            self._reading.slow -= 1
