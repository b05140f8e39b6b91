"""Values sealed for a data subject (AES-256-GCM, NIST SP 800-38D), each row by itself.

A sealed row is 16 bytes of the key's id; how many columns it has and the place of each, 16 bits big-endian; 12 bytes of
nonce; and the ciphertext with its tag. It is bound to its beginning and to a context of the caller's, so that it opens
nowhere else.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tsavo.vocabulary import Damaged

__all__ = ["ID_BYTES", "SubjectKey", "Value", "open_sealed", "seal", "sealed_columns", "sealing_key"]

ID_BYTES: Final = 16
_NONCE: Final = 12

Value: TypeAlias = bytes | str | None


class SubjectKey(NamedTuple):
    """A key in use: whose, under which id, and what it does."""

    pseudonym: str
    key_id: bytes
    cipher: AESGCM


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[Any])


def seal(key: SubjectKey, columns: tuple[int, ...], values: Sequence[Value], context: str) -> bytes:
    """Seal one row: the places of its columns, and their values as bytes or text."""
    nonce = os.urandom(_NONCE)
    head = key.key_id + struct.pack(f">{len(columns) + 1}H", len(columns), *columns)
    return head + nonce + key.cipher.encrypt(nonce, _ENCODER.encode(values), head + context.encode())


def sealing_key(sealed: bytes) -> bytes:
    """The id of the key that opens a sealed row."""
    return sealed[:ID_BYTES]


def sealed_columns(sealed: bytes) -> tuple[int, ...]:
    """The places of the columns that are sealed; raise `Damaged` when it is no sealed row."""
    try:
        (count,) = struct.unpack_from(">H", sealed, ID_BYTES)
        return struct.unpack_from(f">{count}H", sealed, ID_BYTES + 2)
    except struct.error as error:
        raise _damaged("a row") from error


def open_sealed(key: bytes, sealed: bytes, context: str) -> dict[int, Value]:
    """What `seal` sealed, by place.

    Raises
    ------
    Damaged
        It is not what was sealed there.
    """
    columns = sealed_columns(sealed)
    end = ID_BYTES + 2 + 2 * len(columns)
    head, nonce, ciphertext = sealed[:end], sealed[end : end + _NONCE], sealed[end + _NONCE :]
    try:
        values = _DECODER.decode(AESGCM(key).decrypt(nonce, ciphertext, head + context.encode()))
        return dict(zip(columns, values, strict=True))
    except (InvalidTag, ValueError) as error:
        raise _damaged(context) from error


def _damaged(where: str) -> Damaged:
    return Damaged(
        "sealed values cannot be opened", field="sealed", found=where, expected="what was sealed there"
    )
