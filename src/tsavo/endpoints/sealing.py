"""Personal values of a request, sealed for those whose they are before anything of it is recorded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tsavo.endpoints.origins import Origin
from tsavo.vocabulary import (
    Batch,
    Privacy,
    Signature,
    Tensor,
    TsavoError,
    Unavailable,
    VersionRef,
    decision_context,
    decision_id,
    input_tensors,
    subject_text,
)

if TYPE_CHECKING:
    from tsavo.privacy import SubjectKey, SubjectKeys

__all__ = ["NO_KEYS", "OPEN", "Sealing", "SealingDesk", "Veiled", "written"]


# How few rows may be sealed on the event loop: a row takes a few microseconds.
_INLINE_ROWS: Final = 256

_Seal: TypeAlias = "Callable[[SubjectKey, tuple[int, ...], Sequence[Any], str], bytes]"
T = TypeVar("T")


class Veiled(NamedTuple):
    """What a record keeps of a batch, as the fields of `DecisionRecord` have it."""

    inputs: tuple[Tensor, ...]
    hidden: tuple[int, ...] = ()
    subjects: tuple[str, ...] = ()
    sealed: tuple[bytes, ...] = ()


class Sealing:
    """How the rows of one request are recorded: here, as they are.

    Rows are sealed anew for each version that answered some, because each has columns of its own.
    """

    def veil(
        self,
        signature: Signature,
        batch: Batch,
        numbers: Sequence[int],
        request: str,
        endpoint: str,
        version: VersionRef,
    ) -> Veiled:
        """What is kept of `batch`, which is in terms of `signature`.

        Parameters
        ----------
        numbers
            Of the rows within the request.
        version
            What answered them.
        """
        return Veiled(input_tensors(batch.matrix, batch.columns))

    def digest(self, origin: Origin) -> bytes:
        """What is kept of the request's digest."""
        return origin.digest


OPEN: Final = Sealing()
"""Of endpoints without personal data."""


async def written(sealing: Sealing, rows: int, write: Callable[[], T]) -> T:
    """What `write` makes of `rows` rows: in a thread where sealing them would keep the event loop."""
    if sealing is OPEN or rows <= _INLINE_ROWS:
        return write()
    return await asyncio.get_running_loop().run_in_executor(None, write)


class _Sealed(Sealing):
    def __init__(self, columns: frozenset[str], keys: Sequence[SubjectKey], digest: bytes) -> None:
        # Most gateways seal nothing, and do without the cipher's library.
        from tsavo.privacy import seal

        self._columns = columns
        self._keys = keys
        self._digest = digest
        self._seal: _Seal = seal

    def veil(
        self,
        signature: Signature,
        batch: Batch,
        numbers: Sequence[int],
        request: str,
        endpoint: str,
        version: VersionRef,
    ) -> Veiled:
        hidden = tuple(at for at, field in enumerate(signature.inputs) if field.name in self._columns)
        values = [_cells(batch, at) for at in hidden]
        keys = [self._keys[number % len(self._keys)] for number in numbers]
        sealed = tuple(
            self._seal(
                key,
                hidden,
                [column[row] for column in values],
                decision_context(decision_id(request, number), endpoint, str(version)),
            )
            for row, (key, number) in enumerate(zip(keys, numbers, strict=True))
        )
        return Veiled(_without(batch, hidden), hidden, tuple(key.pseudonym for key in keys), sealed)

    def digest(self, origin: Origin) -> bytes:
        return self._digest


class SealingDesk:
    """Finds whose data the rows of a request are, and the keys to seal them.

    Parameters
    ----------
    make
        Makes the keys of data subjects, in a thread, when the first personal data comes; ``None`` where it cannot be
        recorded, and is refused.
    """

    def __init__(self, make: Callable[[], SubjectKeys] | None) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._subjects: SubjectKeys | None = None

    async def sealing(self, privacy: Privacy, spoken: Signature, batch: Batch, origin: Origin) -> Sealing:
        """How this request is recorded.

        Parameters
        ----------
        spoken
            The signature in whose order `batch` is.

        Raises
        ------
        Invalid
            A row does not say whose data it is.
        Unavailable, Damaged
            Keys cannot be had.
        """
        whose = _whose(privacy, spoken, batch, origin)
        subjects = self._subjects or await self._opened()
        keys = await subjects.of(whose)
        return _Sealed(privacy.columns, keys, subjects.keyed_digest(origin.digest))

    async def warm_up(self) -> None:
        """Have keys ready; what is wrong with them, whoever asks is told."""
        with contextlib.suppress(TsavoError):
            subjects = self._subjects or await self._opened()
            await subjects.of([])

    def close(self) -> None:
        """Let go of the keys; blocks for a moment."""
        if self._subjects is not None:
            self._subjects.close()

    async def _opened(self) -> SubjectKeys:
        if self._make is None:
            raise Unavailable(
                "this process has no keys to seal personal data with", field="privacy", next_step=None
            )
        async with self._making:
            if self._subjects is None:
                self._subjects = await asyncio.get_running_loop().run_in_executor(None, self._make)
        return self._subjects


NO_KEYS: Final = SealingDesk(None)
"""Of a process that records nothing personal."""


def _whose(privacy: Privacy, spoken: Signature, batch: Batch, origin: Origin) -> list[str]:
    """Whose data each row is."""
    names = [field.name for field in spoken.inputs]
    if privacy.subject is None or privacy.subject not in names:
        return [subject_text(origin.subject, "x-tsavo-subject")] * batch.rows
    at = names.index(privacy.subject)
    column = batch.columns[at] if batch.matrix is None else batch.matrix[:, at]
    return [subject_text(value, privacy.subject) for value in column.tolist()]


def _cells(batch: Batch, at: int) -> list[Any]:
    """The values of one column as they are sealed: the bytes of numbers, text as it is."""
    column = batch.columns[at] if batch.matrix is None else batch.matrix[:, at]
    if column.dtype == object:
        texts: list[Any] = column.tolist()
        return texts
    size = column.dtype.itemsize
    packed = column.tobytes()
    return [packed[start : start + size] for start in range(0, len(packed), size)]


def _without(batch: Batch, hidden: Sequence[int]) -> tuple[Tensor, ...]:
    """The batch without what is hidden."""
    if batch.matrix is not None:
        matrix = batch.matrix.copy()
        matrix[:, list(hidden)] = 0
        return input_tensors(matrix, ())
    columns = list(batch.columns)
    for at in hidden:
        columns[at] = _nothing(columns[at])
    return input_tensors(None, columns)


def _nothing(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if column.dtype == object:
        return np.full(column.shape, None, dtype=object)
    return np.zeros_like(column)
