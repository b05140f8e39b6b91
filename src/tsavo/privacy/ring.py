"""A home's keys as the control plane and the keeper use them: opened when they are first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tsavo.privacy.master import MasterKey
from tsavo.privacy.sealing import open_sealed, sealing_key
from tsavo.privacy.store import KeyStore
from tsavo.vocabulary import Invalid, NotFound, subject_text

__all__ = ["KeyRing"]


class KeyRing:
    """The keys of one home.

    Parameters
    ----------
    folder
        Where the store lies.
    key_file
        The master key's file.
    """

    def __init__(self, folder: Path, key_file: Path) -> None:
        self._path = folder / "keys.db"
        self._key_file = key_file
        self._lock = threading.Lock()
        self._store: KeyStore | None = None

    def open(self, *, make: bool = False) -> KeyStore:
        """The store, which this ring keeps open; `KeyStore` and `MasterKey.read` say what is raised.

        Parameters
        ----------
        make
            Whether it may be made; else `NotFound` is raised where nothing personal was ever recorded.
        """
        with self._lock:
            if self._store is None:
                if not make and not self._path.exists():
                    raise NotFound(
                        "nothing personal was ever recorded here",
                        field="privacy",
                        found=str(self._path),
                        next_step="mark an endpoint's personal columns with 'tsavo personal ENDPOINT'",
                    )
                self._store = KeyStore(self._path, MasterKey.read(self._key_file, make=make), make=make)
            return self._store

    def new_store(self) -> KeyStore:
        """The store, made where it is missing, for somebody who closes it."""
        return KeyStore(self._path, MasterKey.read(self._key_file, make=True))

    def exists(self) -> bool:
        """Whether anything personal was ever recorded."""
        return self._path.exists()

    def pseudonym(self, subject: Any) -> str:
        """The pseudonym of a subject; raise `Invalid` when it can be nobody's key."""
        return self.open(make=True).master.pseudonym(subject_text(subject))

    def pseudonyms(self) -> Callable[[Any], str | None]:
        """Gives the pseudonym of each value that can be a subject's key; ``None`` for others."""
        master = self.open(make=True).master

        def of(value: Any) -> str | None:
            try:
                return master.pseudonym(subject_text(value))
            except Invalid:
                return None

        return of

    def own(self, pairs: Iterable[tuple[bytes, str]]) -> None:
        """Note whose keys are."""
        self.open(make=True).assign(pairs)

    def unseal(self, rows: Sequence[tuple[bytes, str]]) -> list[dict[int, Any] | None]:
        """Open sealed rows, each with its context; ``None`` for what belongs to an erased subject.

        Raises
        ------
        NotFound
            The key of a row is not there, though it was not destroyed: keys of another home, or of an old backup.
        Damaged
            A row is not what was sealed, or the master key is another one.
        """
        if not rows:
            return []
        found = self.open().open(sealing_key(sealed) for sealed, _ in rows)
        opened: list[dict[int, Any] | None] = []
        for sealed, context in rows:
            key_id = sealing_key(sealed)
            if key_id in found.keys:
                opened.append(dict(open_sealed(found.keys[key_id], sealed, context)))
            elif key_id in found.erased:
                opened.append(None)
            else:
                raise NotFound(
                    "the key of a sealed row is missing, and was not destroyed by an erasure",
                    field="privacy",
                    found=context,
                    next_step="put back the folder 'keys' that belongs to this home",
                )
        return opened

    def close(self) -> None:
        """Close the store, if it is open."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None
