"""The binary tensor data extension: tensors as raw bytes after the JSON part of a body.

A header says how long the JSON part is; each tensor of it that has a ``binary_data_size`` takes so many of the bytes
that follow, in the order of the JSON part. Nothing is copied on the way in but rows that are not aligned.

Specification: "Binary Tensor Data Extension" of the Open Inference Protocol
(https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/extension_binary_data.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tsavo.endpoints import InputTensor
from tsavo.endpoints.open_tensors import from_raw
from tsavo.vocabulary import Invalid, Unreadable

__all__ = ["LENGTH_HEADER", "RawTensors", "binary_flag", "split_body"]

LENGTH_HEADER: Final = b"inference-header-content-length"
_NAME: Final = "Inference-Header-Content-Length"
_MOST_DIGITS: Final = 15


class RawTensors:
    """The bytes after the JSON part, handed out in order.

    Parameters
    ----------
    raw
        All of them; ``None`` when the request did not say where its JSON part ends.
    """

    def __init__(self, raw: memoryview | None) -> None:
        self._raw = raw
        self._start = 0

    def take(self, name: str, datatype: str, shape: Sequence[int], size: Any) -> InputTensor:
        """The next tensor.

        Parameters
        ----------
        size
            Its ``binary_data_size``, as the caller sent it.

        Raises
        ------
        Invalid, Unreadable
            When the size is none or more than there is, and as `from_raw` does.
        """
        if self._raw is None:
            raise Invalid(
                "a tensor is said to be binary, but the request does not say where its JSON part ends",
                field=f"inputs.{name}.parameters.binary_data_size",
                found=size,
                expected=f"the header {_NAME}, in bytes",
            )
        left = len(self._raw) - self._start
        if type(size) is not int or not 0 <= size <= left:
            raise Invalid(
                "not the size of a binary tensor",
                field=f"inputs.{name}.parameters.binary_data_size",
                found=size,
                expected=f"a whole number of bytes, at most the {left} that are left",
            )
        raw = self._raw[self._start : self._start + size]
        self._start += size
        return from_raw(name, datatype, shape, raw, f"inputs.{name}.data")

    def close(self) -> None:
        """Raise `Invalid` when bytes are left over."""
        left = 0 if self._raw is None else len(self._raw) - self._start
        if left:
            raise Invalid(
                "the body has more bytes than its tensors take",
                field="body",
                found=f"{left} bytes after the last tensor",
                expected="as many as the sizes in binary_data_size add up to",
            )


def split_body(body: bytes, length: bytes) -> tuple[memoryview, RawTensors]:
    """The JSON part of a body, and what follows it.

    Parameters
    ----------
    length
        The header's value: how many bytes the JSON part has.

    Raises
    ------
    Unreadable
        When it is not a number, nothing, or more than there is.
    """
    if not length.isdigit() or len(length) > _MOST_DIGITS:
        raise Unreadable(
            "not a length",
            field=_NAME,
            found=length.decode("latin-1"),
            expected="how many bytes the JSON part has",
        )
    size = int(length)
    if not 0 < size <= len(body):
        raise Unreadable(
            "the JSON part cannot have this length",
            field=_NAME,
            found=size,
            expected=f"1 to {len(body)}, as long as the body is",
            next_step="send the tensor's name, datatype and shape as JSON before its bytes"
            if not size
            else None,
        )
    whole = memoryview(body)
    return whole[:size], RawTensors(whole[size:])


def binary_flag(parameters: Mapping[str, Any] | None, name: str, field: str) -> bool | None:
    """The parameter `name`, which says whether outputs are to be binary; ``None`` when it is not there.

    Raises
    ------
    Invalid
        When it is neither true nor false.
    """
    said = None if parameters is None else parameters.get(name)
    if said is None or isinstance(said, bool):
        return said
    raise Invalid(
        f"'{name}' is a yes or no", field=f"{field}.parameters.{name}", found=said, expected="true or false"
    )
