"""Keys at hand for subjects, in a process that seals on its event loop.

Keys are made ahead and put on disk by a thread; a subject that is new takes one from the stock. Another process, or
this one after it has let a subject go, takes another key for the same subject: a subject has as many as it takes, and
all are destroyed together. The same thread learns of erasures, after which a subject begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tsavo.privacy.sealing import SubjectKey
from tsavo.privacy.store import KeyStore
from tsavo.vocabulary import TsavoError

__all__ = ["SubjectKeys"]

_STOCK: Final = 256
_LARGEST_STOCK: Final = 4096
_MOST_SUBJECTS: Final = 65_536
_LOOK_SECONDS: Final = 0.2


class SubjectKeys:
    """Gives each subject its key; all but the thread's work is done on one event loop.

    Parameters
    ----------
    open_store
        Opens the store; called by a thread, when the first subject comes.
    nanoseconds
        The time, in nanoseconds since 1970 UTC.
    stock
        So many keys are kept ready at first. What is left of them when the process ends stays unused: a few bytes
        each, and nobody can know that no record names them.
    most
        So many subjects are remembered; of more, those whose requests are the longest ago are let go.
    """

    def __init__(
        self,
        open_store: Callable[[], KeyStore],
        nanoseconds: Callable[[], int],
        *,
        stock: int = _STOCK,
        most: int = _MOST_SUBJECTS,
    ) -> None:
        self._open_store = open_store
        self._nanoseconds = nanoseconds
        self._size = stock
        self._most = most
        self._store: KeyStore | None = None
        self._stock: deque[tuple[bytes, bytes]] = deque()
        self._known: OrderedDict[str, SubjectKey] = OrderedDict()
        self._filling = asyncio.Lock()
        self._refilling: asyncio.Task[None] | None = None
        self._told = 0
        self._stop = threading.Event()
        self._watch: threading.Thread | None = None

    async def of(self, subjects: Sequence[str]) -> list[SubjectKey]:
        """The key of each subject, in step; waits for the disk only when there are not enough keys in stock.

        Asked for nobody's, it has a stock made where there is none.

        Raises
        ------
        Unavailable, Damaged
            The store cannot be opened or written: nothing can be sealed then.
        """
        if self._store is None:
            await self._fill(0)
        # Others may take what was made for us while we wait.
        while len(fresh := {one for one in subjects if one not in self._known}) > len(self._stock):
            # Where somebody had to wait, more are kept from now on.
            self._size = min(2 * self._size, max(self._size, _LARGEST_STOCK))
            await self._fill(len(fresh))
        if fresh and len(self._stock) < self._size // 2 and self._refilling is None:
            self._refilling = asyncio.get_running_loop().create_task(self._refill())
        keys = {subject: self._one(subject) for subject in dict.fromkeys(subjects)}
        return [keys[subject] for subject in subjects]

    def keyed_digest(self, digest: bytes) -> bytes:
        """See `MasterKey.keyed_digest`; call `of` before."""
        assert self._store is not None  # noqa: S101 -- `of` has opened it
        return self._store.master.keyed_digest(digest) if digest else b""

    def close(self) -> None:
        """Stop the thread and close the store; blocks for a moment."""
        self._stop.set()
        if self._watch is not None:
            self._watch.join()
        if self._store is not None:
            self._store.close()

    def _one(self, subject: str) -> SubjectKey:
        known = self._known.get(subject)
        if known is not None:
            self._known.move_to_end(subject)
            return known
        assert self._store is not None  # noqa: S101 -- there is a stock
        key_id, key = self._stock.popleft()
        made = SubjectKey(self._store.master.pseudonym(subject), key_id, AESGCM(key))
        self._known[subject] = made
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return made

    async def _refill(self) -> None:
        # Whoever comes while the stock is empty meets what is wrong.
        with contextlib.suppress(TsavoError):
            await self._fill(0)
        self._refilling = None

    async def _fill(self, needed: int) -> None:
        async with self._filling:
            missing = max(self._size, needed) - len(self._stock)
            if missing > 0:
                loop = asyncio.get_running_loop()
                now = self._nanoseconds()
                self._stock.extend(await loop.run_in_executor(None, self._make, missing, now, loop))

    def _make(self, count: int, now: int, loop: asyncio.AbstractEventLoop) -> list[tuple[bytes, bytes]]:
        if self._store is None:
            self._store = self._open_store()
            erasures = self._store.erasures()
            self._told = erasures[-1].number if erasures else 0
            self._watch = threading.Thread(target=self._listen, args=(loop,), name="erasures", daemon=True)
            self._watch.start()
        return self._store.make(count, now)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell the loop of every erasure."""
        store, seen = self._store, -1
        assert store is not None  # noqa: S101 -- it is open when this begins
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                changes = store.changes()
                if changes == seen:
                    continue
                erased = store.erasures(self._told)
            except TsavoError:
                continue  # asked again a moment later
            seen = changes
            if erased:
                self._told = erased[-1].number
                with contextlib.suppress(RuntimeError):  # the loop may have closed
                    loop.call_soon_threadsafe(self._forget, {one.subject for one in erased})

    def _forget(self, pseudonyms: set[str]) -> None:
        for subject in [name for name, key in self._known.items() if key.pseudonym in pseudonyms]:
            del self._known[subject]
