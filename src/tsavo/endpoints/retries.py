"""A request that is sent again with its key gets the answer that it was given, and is not decided again.

Whoever has the key is one at a time: within the process by a table, among the processes of a home by a reservation,
which the kernel takes back from one that dies. With the reservation in hand it is looked up what was kept: an answer is
on disk together with its decisions, so whatever happened to the caller's connection or to the process that answered,
either there is an answer and it is given again, or nothing was decided and the request is answered now. Refusals and
failures are not kept.

Specification: ``draft-ietf-httpapi-idempotency-key-header-07``, sections 2.4 to 2.6.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from tsavo.journal import KeptReply
from tsavo.vocabulary import Conflict, Invalid, Unreadable

__all__ = ["HEADER", "Keeping", "Replayed", "Retries", "check_key", "digest_of"]

T = TypeVar("T")

HEADER: Final = "Idempotency-Key"
_MOST_CHARACTERS: Final = 255
# How long a request waits for another one with its key: longer than any model may take by default.
_WAIT_SECONDS: Final = 30.0
# How often it is looked whether another process is done.
_FIRST_LOOK_SECONDS: Final = 0.002
_LAST_LOOK_SECONDS: Final = 0.05
# Bytes from which a request is digested in a thread.
_INLINE: Final = 256 << 10


class _Finds(Protocol):
    """Where replies are found, by one thread."""

    def find(self, keys: Sequence[bytes], since: int) -> Mapping[bytes, KeptReply]:
        """The newest under each key, of those that are not older than `since`."""
        ...

    def close(self) -> None:
        """Find no more."""
        ...


class _Reserves(Protocol):
    """Keys that no other process works on."""

    def take(self, key: bytes) -> bool:
        """Reserve it; return whether it was free."""
        ...

    def free(self, key: bytes) -> None:
        """Give it back."""
        ...


class Replayed(NamedTuple):
    """What was kept of an earlier answer."""

    reply: bytes


class Keeping:
    """Takes down what is answered to one request with a key; nothing is kept of a request that did not call it."""

    __slots__ = ("_digest", "_key", "_nanoseconds", "kept")

    def __init__(self, key: bytes, digest: bytes, nanoseconds: Callable[[], int]) -> None:
        self._key = key
        self._digest = digest
        self._nanoseconds = nanoseconds
        self.kept: KeptReply | None = None

    def keep(self, reply: bytes) -> KeptReply:
        """What is to be committed together with the decisions."""
        self.kept = KeptReply(self._key, self._nanoseconds(), self._digest, reply)
        return self.kept


def check_key(key: str) -> str:
    """Return `key` when it is 1 to 255 visible ASCII characters, or raise `Unreadable`.

    >>> check_key("8e03978e-40d5-43dd-bc93-6894a57f9324")
    '8e03978e-40d5-43dd-bc93-6894a57f9324'
    """
    if not 0 < len(key) <= _MOST_CHARACTERS or any(not "!" <= character <= "~" for character in key):
        raise Unreadable(
            "not a key",
            field=HEADER,
            found=key[:300],
            expected=f"1 to {_MOST_CHARACTERS} visible ASCII characters, such as a UUID",
            next_step="make a new key for each request, and send the same key when that request is sent again",
        )
    return key


async def digest_of(*parts: bytes) -> bytes:
    """By what a request is told from others with its key."""
    if sum(map(len, parts)) > _INLINE:
        return await asyncio.to_thread(_digest, parts)
    return _digest(parts)


def _digest(parts: Iterable[bytes]) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        # The length first: where a part ends must matter.
        state.update(b"%d:" % len(part))
        state.update(part)
    return state.digest()


class Retries:
    """Answers each request with a key once.

    Parameters
    ----------
    replies
        Finds what was kept by any process of this home.
    reservations
        Shared by the processes of this home.
    nanoseconds
        The time.
    seconds
        For how long an answer is given again.
    wait_seconds
        How long a request waits for another one with the same key.
    """

    def __init__(
        self,
        replies: _Finds,
        reservations: _Reserves,
        nanoseconds: Callable[[], int],
        *,
        seconds: float,
        wait_seconds: float = _WAIT_SECONDS,
    ) -> None:
        self._replies = replies
        self._reservations = reservations
        self._nanoseconds = nanoseconds
        self._window = int(seconds * 1e9)
        self._wait_seconds = wait_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="replies")
        self._flying: dict[bytes, asyncio.Future[KeptReply | None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        # What is to be looked up with the next round, and the task of the present one.
        self._asked: list[tuple[bytes, asyncio.Future[KeptReply | None]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def once(
        self,
        endpoint: str,
        caller: str,
        key: str,
        digest: bytes,
        act: Callable[[Keeping], Awaitable[T]],
    ) -> Replayed | T:
        """What `act` answers, or what was kept when the same request was answered before.

        Once begun, `act` is finished, also when nobody waits for it any more.

        Parameters
        ----------
        endpoint, caller
            Keys of other endpoints and of other callers are other keys.
        digest
            See `digest_of`.

        Raises
        ------
        Unreadable
            Not a key.
        Invalid
            The key was used for another request.
        Conflict
            The request is being worked on elsewhere, and was not finished in time.
        Unavailable
            A journal cannot be read.
        """
        name = _digest((endpoint.encode(), caller.encode(), check_key(key).encode()))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_seconds
        while (flying := self._flying.get(name)) is not None:
            kept = await _within(flying, deadline, loop)
            if kept is not None:
                return _same(kept, digest)
        self._flying[name] = loop.create_future()
        task = loop.create_task(self._reserved(name, digest, act, deadline))
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def close(self) -> None:
        """Find no more."""
        self._thread.submit(self._replies.close)
        self._thread.shutdown()

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Seen, also where the caller is gone.
            task.exception()

    async def _reserved(
        self, name: bytes, digest: bytes, act: Callable[[Keeping], Awaitable[T]], deadline: float
    ) -> Replayed | T:
        kept: KeptReply | None = None
        try:
            await self._reserve(name, deadline)
            try:
                kept = await self._look_up(name)
                if kept is not None:
                    return _same(kept, digest)
                keeping = Keeping(name, digest, self._nanoseconds)
                answer = await act(keeping)
                kept = keeping.kept
                return answer
            finally:
                self._reservations.free(name)
        finally:
            self._flying.pop(name).set_result(kept)

    def _look_up(self, name: bytes) -> asyncio.Future[KeptReply | None]:
        """What is kept under this name. All that are asked for during one look are looked up with the next."""
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[KeptReply | None] = loop.create_future()
        self._asked.append((name, asked))
        if self._looking is None:
            self._looking = loop.create_task(self._look())
        return asked

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                names = [name for name, _ in asked]
                since = self._nanoseconds() - self._window
                try:
                    kept = await loop.run_in_executor(self._thread, self._replies.find, names, since)
                except Exception as error:  # whatever it is, nobody may wait for ever
                    _tell(asked, error)
                else:
                    _tell(asked, kept)
        finally:
            self._looking = None

    async def _reserve(self, name: bytes, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_LOOK_SECONDS
        while not self._reservations.take(name):
            if loop.time() + pause > deadline:
                raise _busy()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK_SECONDS)


def _tell(
    asked: list[tuple[bytes, asyncio.Future[KeptReply | None]]], told: Mapping[bytes, KeptReply] | Exception
) -> None:
    for name, future in asked:
        # Who asked may be gone, with the process that is ending.
        if future.done():
            continue
        if isinstance(told, Exception):
            future.set_exception(told)
        else:
            future.set_result(told.get(name))


async def _within(
    flying: asyncio.Future[KeptReply | None], deadline: float, loop: asyncio.AbstractEventLoop
) -> KeptReply | None:
    try:
        return await asyncio.wait_for(asyncio.shield(flying), deadline - loop.time())
    except TimeoutError:
        raise _busy() from None


def _same(kept: KeptReply, digest: bytes) -> Replayed:
    if kept.digest == digest:
        return Replayed(kept.reply)
    raise Invalid(
        "the key was used for another request",
        field=HEADER,
        expected="with the same key the same address and the same body",
        next_step="make a new key for each request",
    )


def _busy() -> Conflict:
    return Conflict(
        "the request with this key is still being worked on",
        field=HEADER,
        next_step="send it again, with the same key",
        retry_after=1.0,
    )
