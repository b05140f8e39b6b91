"""Rows in JSON as people write them by hand, and answers as they like to read them.

A request is ``{"rows": [{"age": 31, "city": "voi"}]}`` or ``{"rows": [[31, "voi"]]}``; ``"outputs": ["label"]`` chooses
among the outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

from tsavo.endpoints import Answer, InputTensor
from tsavo.rest.scoring_answers import chosen, column_name
from tsavo.rest.scoring_tables import decode_json, from_rows
from tsavo.vocabulary import Output, Signature

__all__ = ["decode_rows", "encode_rows"]

_EXPECTED: Final = '{"rows": [{column: value, ...}, ...]} or {"rows": [[value, ...], ...]}'


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[Any]
    outputs: list[str] | None = None


_DECODER: Final = msgspec.json.Decoder(_Body)


def decode_rows(body: bytes, signature: Signature) -> tuple[list[InputTensor], list[str] | None]:
    """The tensors of a request, and the names of the outputs that it wants (``None`` for all).

    Raises
    ------
    Unreadable, Invalid
        When the body is not JSON, or not of this form.
    """
    request = decode_json(body, _DECODER, _EXPECTED)
    return from_rows(request.rows, signature, "rows"), request.outputs


def encode_rows(answer: Answer, wanted: Sequence[str] | None) -> bytes:
    """One object a row: its decision, its outputs by name (probabilities by class), and the flags of this row.

    The decision of a row that is not recorded is ``null``.
    Who answered stands before the rows; where that was not the same for all, in each row too.

    The text is put together from columns: an object for each row would take four times as long.
    """
    parts: list[Iterable[str]] = [repeat('{"decision_id":null', answer.rows)]
    if answer.recorded:
        parts = [repeat(f'{{"decision_id":"{answer.request}:'), map(str, range(answer.rows)), repeat('"')]
    for output, values in chosen(answer, wanted):
        parts += [repeat(f",{_json(column_name(output.name))}:"), *_cells(answer.signature, output, values)]
    if answer.row_versions:
        versions = {version: _json(str(version)) for version in set(answer.row_versions)}
        parts += [repeat(',"version":'), [versions[version] for version in answer.row_versions]]
    if answer.row_roles:
        parts += [repeat(',"role":'), map(_json, answer.row_roles)]
    flags = ["[]"] * answer.rows
    for row, told in answer.row_flags.items():
        flags[row] = _json(told)
    parts += [repeat(',"flags":'), flags, repeat("},")]
    about = _json(
        {
            "endpoint": answer.endpoint,
            "version": str(answer.version),
            "role": answer.role,
            "flags": answer.flags,
        }
    )
    rows = "".join(chain.from_iterable(zip(*parts, strict=False)))
    return f'{about[:-1]},"rows":[{rows[:-1]}]}}'.encode()


def _cells(signature: Signature, output: Output, values: npt.NDArray[Any]) -> list[Iterable[str]]:
    """The texts whose concatenation is the output of a row, each as a column."""
    if values.ndim == 1:
        return [_scalars(values)]
    classes = signature.classes if output.name == "probabilities" else None
    keys = [f"{_json(_class_name(label))}:" for label in classes or ()]
    opening, closing = "[]"
    if len(keys) == values.shape[1]:
        opening, closing = "{}"
    else:
        keys = [""] * values.shape[1]
    parts: list[Iterable[str]] = []
    for at, key in enumerate(keys):
        parts += [repeat((opening if at == 0 else ",") + key), _scalars(values[:, at])]
    return [*parts, repeat(closing)]


def _scalars(values: npt.NDArray[Any]) -> list[str]:
    if values.dtype == object:
        texts = values.tolist()
        told = {text: _json(text) for text in set(texts)}
        return [told[text] for text in texts]
    # Numbers and truths have no commas of their own. Floats have as many digits as read back to the same value.
    return _json(np.ascontiguousarray(values))[1:-1].split(",")


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _class_name(label: str | int | bool | float) -> str:
    """A class as a key of a JSON object.

    >>> [_class_name(label) for label in ("yes", 1, True)]
    ['yes', '1', 'true']
    """
    return label if isinstance(label, str) else _json(label)
