"""A request on its way through the data plane, and which version is to answer which of its rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tsavo.endpoints.answers import Answer
from tsavo.endpoints.guarding import guard_parts, read_guarded
from tsavo.endpoints.inputs import InputTensor
from tsavo.endpoints.lanes import Lane
from tsavo.endpoints.loaded import LoadedVersion
from tsavo.endpoints.origins import Origin
from tsavo.endpoints.parts import Part, divide, key_texts, take_key
from tsavo.vocabulary import Batch

if TYPE_CHECKING:
    from tsavo.journal import KeptReply

__all__ = ["Asked", "Keeping", "divided"]

Keeping: TypeAlias = "Callable[[Answer], Awaitable[KeptReply]]"


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request on its way; see `DataPlane.infer`."""

    tensors: Sequence[InputTensor]
    wanted: Sequence[str] | None
    origin: Origin
    key: str
    reply: Keeping | None
    started: int


def divided(
    lane: Lane, champion: LoadedVersion, request: str, asked: Asked
) -> tuple[Batch, dict[int, list[str]], list[Part]]:
    """The batch, the flags of single rows, and who is to answer which rows, where that is not the champion for all.

    Raises
    ------
    Invalid, TooLarge
        For what is wrong with the inputs.
    """
    route, signature = lane.route, champion.signature
    tensors, chooser = asked.tensors, None
    if route.segments is not None:
        tensors, chooser = take_key(tensors, route.segments, signature)
    guarded = None
    if route.guard:
        batch, row_flags, guarded = read_guarded(champion.reader, signature, tensors)
    else:
        batch, row_flags = champion.reader.read(tensors)
    keys = None if route.segments is None else key_texts(chooser, route.segments, signature, batch)
    parts = divide(lane, request, batch, signature, keys, asked.key, asked.origin.caller)
    return batch, row_flags, parts if guarded is None else guard_parts(parts, guarded)
