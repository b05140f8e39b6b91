"""What the protocols whose bodies hold predictions only have in common: who answers, and what the headers tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import orjson

from tsavo.endpoints import Answer, DataPlane
from tsavo.rest.exchange import Reply
from tsavo.vocabulary import Output, Unavailable, decision_id

__all__ = [
    "aside",
    "headers_of",
    "predictions",
    "predictions_reply",
    "refuse_unless_ready",
    "size_of",
    "values_of",
]

P = ParamSpec("P")
T = TypeVar("T")

# Bytes from which a body is read, or written, in a thread: so much takes milliseconds.
_ASIDE_BYTES: Final = 256 << 10
# What a value takes in an answer, roughly.
_BYTES_PER_VALUE: Final = 20
_MOST_FLAGS: Final = 20


async def aside(size: int, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it at once when it is about few bytes, else in a thread, so that other requests are not kept waiting."""
    if size < _ASIDE_BYTES:
        return do(*args, **kwargs)
    return await asyncio.to_thread(do, *args, **kwargs)


def headers_of(answer: Answer) -> tuple[tuple[bytes, bytes], ...]:
    """Where the answer came from: the id of the first row's decision, version, role, and flags when there are any.

    There is no id when the decisions are not recorded. Where several versions answered some rows each, all of them are
    told. Flags of single rows are told once each. What is no plain character in a flag, such as in a column's name, is
    percent-encoded.
    """
    headers = [(b"x-tsavo-decision-id", decision_id(answer.request, 0).encode())] if answer.recorded else []
    headers += [
        (b"x-tsavo-version", _told(map(str, answer.row_versions or (answer.version,)))),
        (b"x-tsavo-role", _told(answer.row_roles or (answer.role,))),
    ]
    flags = dict.fromkeys(answer.flags)
    for row in answer.row_flags.values():
        flags.update(dict.fromkeys(row))
    if flags:
        told = ", ".join(quote(flag, safe=":@") for flag in list(flags)[:_MOST_FLAGS])
        headers.append((b"x-tsavo-flags", told.encode()))
    return tuple(headers)


def _told(words: Iterable[str]) -> bytes:
    """Each once, in the order in which they come first."""
    return ", ".join(list(dict.fromkeys(words))[:_MOST_FLAGS]).encode()


def column_name(output: str) -> str:
    """What an output is called among columns of ours; its own name, as long as none of ours has it.

    >>> column_name("label"), column_name("flags")
    ('label', 'output.flags')
    """
    return f"output.{output}" if output in {"decision_id", "flags", "role", "version"} else output


def chosen(answer: Answer, wanted: Sequence[str] | None) -> list[tuple[Output, npt.NDArray[Any]]]:
    """The outputs that were asked for with their values, in signature order."""
    pairs = zip(answer.signature.outputs, answer.outputs, strict=True)
    return [(output, values) for output, values in pairs if wanted is None or output.name in wanted]


def values_of(array: npt.NDArray[Any]) -> Any:
    """The array as JSON may have it: orjson writes numbers from it directly, texts from a list."""
    return array.tolist() if array.dtype == object else np.ascontiguousarray(array)


def predictions(answer: Answer) -> Any:
    """What a model's own ``predict`` gives: labels of a classifier, values of a regression.

    One entry a row. A model with several outputs of its own has an object in each.
    """
    outputs = dict(zip((output.name for output in answer.signature.outputs), answer.outputs, strict=True))
    if "label" in outputs:
        outputs.pop("probabilities", None)
    if len(outputs) == 1:
        return values_of(next(iter(outputs.values())))
    # Numbers stay numpy's own, which are written in as few digits as read back to the same value.
    columns = [values.tolist() if values.dtype == object else list(values) for values in outputs.values()]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]


async def predictions_reply(answer: Answer) -> Reply:
    """The reply of protocols that say ``{"predictions": [...]}``."""
    return Reply(await aside(size_of(answer), _encoded, answer), headers=headers_of(answer))


def _encoded(answer: Answer) -> bytes:
    return orjson.dumps({"predictions": predictions(answer)}, option=orjson.OPT_SERIALIZE_NUMPY)


def size_of(answer: Answer) -> int:
    """About how many bytes an answer takes."""
    return sum(values.size for values in answer.outputs) * _BYTES_PER_VALUE


async def refuse_unless_ready(plane: DataPlane, endpoint: str) -> None:
    """Return when a request would be answered now, by the champion or by a fallback; who is idle can be loaded.

    Raises
    ------
    NotFound
        When there is no such endpoint.
    Unavailable
        When it cannot answer.
    """
    route = plane.route(endpoint)
    if route.fallback:
        return
    champion = await plane.champion(endpoint)
    state = champion.state
    if route.plug is None and state.name in {"ready", "idle"}:
        return
    why = state.reason or f"{champion.ref} is being loaded"
    if route.plug is not None:
        why = f"the plug of '{endpoint}' is pulled and it has no fallback"
    raise Unavailable(why, field="endpoint", found=endpoint, retry_after=state.retry_after)
