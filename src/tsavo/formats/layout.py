"""How a signature's columns travel into an ONNX graph; written into the file itself.

A compiled graph takes at most two tensors, ``numbers`` float64 [n, a] and ``strings`` [n, b], whatever the number of
columns: each tensor costs about a microsecond a call. ONNX files of other tools keep their own inputs. Both are
described by one list, kept in the file's ``metadata_props`` so that a stored version is read the same way for ever.

ONNX string tensors have no null: a missing string travels as `MISSING`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tsavo.vocabulary import DType

__all__ = ["LAYOUT_KEY", "MISSING", "MISSING_KEY", "GraphInput", "decode_layout", "encode_layout"]

LAYOUT_KEY: Final = "tsavo.inputs"
MISSING_KEY: Final = "tsavo.missing_string"

# A private-use character: valid UTF-8, and no text that means something to anybody else.
MISSING: Final = "\ue000"


class GraphInput(msgspec.Struct, frozen=True):
    """One tensor that the graph takes.

    Attributes
    ----------
    columns
        Positions of the signature's inputs that it carries, in this order.
    flat
        Whether the graph wants [n] rather than [n, columns].
    """

    name: str
    dtype: DType
    columns: tuple[int, ...]
    flat: bool = False


def encode_layout(inputs: tuple[GraphInput, ...]) -> str:
    """The text for the file's metadata.

    >>> decode_layout(encode_layout((GraphInput("numbers", "float64", (0, 2)),)))
    (GraphInput(name='numbers', dtype='float64', columns=(0, 2), flat=False),)
    """
    return msgspec.json.encode(inputs).decode()


def decode_layout(text: str) -> tuple[GraphInput, ...]:
    """Read what `encode_layout` wrote."""
    return msgspec.json.decode(text, type=tuple[GraphInput, ...])
