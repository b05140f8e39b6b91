"""One worker process, seen from the gateway's event loop: orders go out, answers come back, nothing is believed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tsavo.runtimes.python_worker.frames import (
    PREFIX_BYTES,
    Answer,
    BadFrame,
    Buffer,
    FrameLimits,
    encode,
    numbered,
    read_answer,
    sizes_of,
)
from tsavo.runtimes.python_worker.launching import (
    ProcessLimits,
    WorkFolder,
    command,
    environment,
    kill_group,
)

__all__ = ["SHORT", "Ended", "Reply", "WorkerProcess"]

SHORT: Final = FrameLimits(header=64 << 10, body=0)
"""An answer without outputs."""

_TAIL_BYTES: Final = 4096
_CHUNK: Final = 64 << 10
# How much of what a worker prints is read in a tenth of a second; beyond that it waits for us.
_HEARD: Final = 1 << 20
_PAUSE_SECONDS: Final = 0.1
_FAREWELL_SECONDS: Final = 0.5
_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024


class Ended(Exception):
    """The process is gone, and why."""


class Reply(msgspec.Struct, frozen=True):
    """An answer and its body."""

    answer: Answer
    body: Buffer


class _Conversation(asyncio.Protocol):
    """Puts together one frame at a time, and only when one was asked for."""

    def __init__(self, ended: Callable[[str], None]) -> None:
        self._ended = ended
        self._buffer = bytearray()
        self._limits: FrameLimits | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._sizes: tuple[int, int, int] | None = None
        self.number = 0
        self.out_of_turn = False

    def expect(self, limits: FrameLimits) -> asyncio.Future[Reply]:
        self._limits = limits
        self.number += 1
        self._sizes = None
        self._reply = asyncio.get_running_loop().create_future()
        return self._reply

    def fail(self, reason: str) -> None:
        reply, self._reply = self._reply, None
        if reply is not None and not reply.done():
            reply.set_exception(Ended(reason))

    def data_received(self, data: bytes) -> None:
        if self._limits is None:
            self.out_of_turn = True
            self._ended("it spoke without having been asked, and was stopped")
            return
        self._buffer += data
        try:
            self._look(self._limits)
        except BadFrame as error:
            self._ended(f"it sent what is no answer, and was stopped: {error}")

    def _look(self, limits: FrameLimits) -> None:
        buffer = self._buffer
        if self._sizes is None:
            if len(buffer) < PREFIX_BYTES:
                return
            self._sizes = sizes_of(buffer[:PREFIX_BYTES], limits)
        header, body, number = self._sizes
        if number != self.number:
            # A second answer to what was asked before; it must never be taken for the answer to something else.
            self.out_of_turn = True
            raise BadFrame("it answers something else")
        missing = PREFIX_BYTES + header + body - len(buffer)
        if missing > 0:
            return
        if missing < 0:
            raise BadFrame("more came than was asked for")
        view = memoryview(buffer)
        answer = read_answer(view[PREFIX_BYTES : PREFIX_BYTES + header])
        # The arrays of the answer live on in this buffer.
        self._buffer = bytearray()
        self._limits = None
        reply, self._reply = self._reply, None
        if reply is not None and not reply.done():
            reply.set_result(Reply(answer, view[PREFIX_BYTES + header :]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended("")


class _Words:
    """The last words on a process's standard output, read no faster than is good for others."""

    def __init__(self, descriptor: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._tail = b""
        self._heard = 0
        self._waiting: asyncio.TimerHandle | None = None
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            said = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._loop.remove_reader(self._descriptor)
            return
        self._tail = (self._tail + said)[-_TAIL_BYTES:]
        self._heard += len(said)
        if self._heard >= _HEARD and self._waiting is None:
            self._loop.remove_reader(self._descriptor)
            self._waiting = self._loop.call_later(_PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._waiting = None
        self._heard = 0
        self._loop.add_reader(self._descriptor, self._read)

    def last_line(self) -> str:
        with contextlib.suppress(OSError):
            # What it said just before it ended may not have been read yet.
            self._tail = (self._tail + os.read(self._descriptor, _CHUNK))[-_TAIL_BYTES:]
        lines = [line.strip() for line in self._tail.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""

    def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)


class WorkerProcess:
    """A process that does one order at a time.

    Parameters
    ----------
    folder
        Its own; removed when it has ended.
    ended
        Called once when it has ended by itself or was stopped, with the reason.
    """

    def __init__(self, folder: WorkFolder, ended: Callable[[str], None]) -> None:
        self.folder = folder
        self.confined: tuple[str, ...] = ()
        self._told = ended
        self._over = False
        self._reason = ""
        self._process: asyncio.subprocess.Process | None = None
        self._words: _Words | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._conversation = _Conversation(self._lost)
        self._watching: asyncio.Task[None] | None = None

    @property
    def out_of_turn(self) -> bool:
        """Whether it was stopped because of an answer that nobody waited for."""
        return self._conversation.out_of_turn

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return None if self._process is None else self._process.pid

    async def start(self, python: Path, limits: ProcessLimits) -> None:
        """Start it and wait until it has confined itself; raise `Ended` when it does not come so far."""
        ours, theirs = socket.socketpair()
        hear, say = os.pipe()
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *command(python, theirs.fileno()),
                    cwd=self.folder.scratch,
                    env=environment(self.folder),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=say,
                    stderr=asyncio.subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            os.close(hear)
            self.stop(f"its process cannot be started: {error.strerror}")
            self.folder.remove()
            raise Ended(self._reason) from error
        finally:
            os.close(say)
        loop = asyncio.get_running_loop()
        self._words = _Words(hear)
        self._watching = loop.create_task(self._watch(self._process))
        if self._over:
            # It was stopped while it was being started.
            ours.close()
            kill_group(self._process.pid)
            raise Ended(self._reason)
        self._transport, _ = await loop.create_unix_connection(lambda: self._conversation, sock=ours)
        begin = self.folder.begin(limits)
        reply = await self.exchange(encode(lambda _none: begin), SHORT)
        if reply.answer.error:
            self.stop(f"its process could not confine itself: {reply.answer.error}")
            raise Ended(self._reason)
        self.confined = reply.answer.confined

    def exchange(self, pieces: Sequence[Buffer], limits: FrameLimits) -> asyncio.Future[Reply]:
        """Send an order; the future has the reply, or `Ended`."""
        reply = self._conversation.expect(limits)
        if self._over or self._transport is None:
            self._conversation.fail(self._reason)
        else:
            self._transport.writelines(numbered(pieces, self._conversation.number))
        return reply

    def memory(self) -> int:
        """Bytes of memory that it uses now."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * _PAGE_KIB * 1024

    def stop(self, reason: str) -> None:
        """End it at once; whoever waits for an answer gets `Ended` with `reason`."""
        if self._over:
            return
        self._over = True
        said = self._words.last_line() if self._words is not None else ""
        self._reason = f"{reason} (it said: {said})" if said and reason else reason
        if self._process is not None:
            kill_group(self._process.pid)
        if self._transport is not None:
            self._transport.abort()
        self._conversation.fail(self._reason)
        self._told(self._reason)

    async def ended(self) -> None:
        """Wait until nothing is left of it."""
        if self._watching is not None:
            await asyncio.shield(self._watching)

    def _lost(self, reason: str) -> None:
        if reason:
            self.stop(reason)
        elif not self._over:
            # How it ended is known in a moment; if it has only closed its socket, it has to go.
            asyncio.get_running_loop().call_later(
                _FAREWELL_SECONDS, self.stop, "it closed its connection, and was stopped"
            )

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        # What it started does not outlive it.
        kill_group(process.pid)
        self.stop(_how(code))
        if self._words is not None:
            self._words.close()
        await asyncio.get_running_loop().run_in_executor(None, self.folder.remove)


def _how(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"its process died of {name}"
    return f"its process ended by itself with code {code}"
