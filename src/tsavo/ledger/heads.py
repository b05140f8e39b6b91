"""Signed tree heads: what a log's owner vouches for, in a form that others can keep and check.

A head names the log, how many entries it has, their Merkle root and the time. What is signed (Ed25519, RFC 8032) is
the text of a checkpoint as C2SP describes it (tlog-checkpoint, signed-note), with the time as an extension line, so
that witnesses and tools for transparency logs can read it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tsavo.storage import write_atomically
from tsavo.vocabulary import Damaged, Invalid, TreeHead

__all__ = ["PublicKey", "SigningKey"]

# The kind of signature in a signed note: Ed25519.
_ALGORITHM: Final = b"\x01"


class PublicKey:
    """Checks heads. Its text is a verifier key of the signed-note format: ``name+id+base64``."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        # The name follows from the key: a log has one key, and a key one log.
        self.origin = f"tsavo/{hashlib.sha256(raw).hexdigest()[:16]}"
        named = self.origin.encode() + b"\n" + _ALGORITHM + raw
        self.identifier = hashlib.sha256(named).digest()[:4]

    def __str__(self) -> str:
        return f"{self.origin}+{self.identifier.hex()}+{base64.b64encode(_ALGORITHM + self.raw).decode()}"

    @staticmethod
    def parse(text: str) -> PublicKey:
        """Read a verifier key; raise `Invalid` when it is none."""
        try:
            raw = base64.b64decode(text.strip().split("+", 2)[2], validate=True)
        except (ValueError, IndexError):
            raw = b""
        if len(raw) != 33 or raw[:1] != _ALGORITHM or str(key := PublicKey(raw[1:])) != text.strip():
            raise Invalid(
                "not the public key of a log",
                field="key",
                found=text[:80],
                expected="tsavo/NAME+ID+BASE64",
                next_step="'tsavo verify-log' prints it; take it from where you noted it, not from the home",
            )
        return key

    def note(self, head: TreeHead) -> str:
        """A head as a signed note: the checkpoint, and a line with the signature."""
        signed = base64.b64encode(self.identifier + bytes.fromhex(head.signature)).decode()
        return f"{head.text()}\n\N{EM DASH} {head.origin} {signed}\n"

    def signed(self, head: TreeHead) -> bool:
        """Whether this key signed `head`."""
        try:
            signature = bytes.fromhex(head.signature)
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, head.text().encode())
        except (InvalidSignature, ValueError):
            return False
        # One head has one form: no capital letters among the digits.
        return head.origin == self.origin and signature.hex() == head.signature


class SigningKey:
    """Signs heads; kept in a file that its owner alone may read."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @staticmethod
    def make(path: Path) -> SigningKey:
        """A new key, kept at `path` with mode 0600."""
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomically(path, pem, mode=0o600)
        return SigningKey(key)

    @staticmethod
    def load(path: Path) -> SigningKey:
        """The key at `path`; raise `Damaged` when it is none, or others may read it."""
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise _no_key(path, str(error)) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _no_key(path, type(key).__name__)
        if path.stat().st_mode & 0o077:
            os.chmod(path, 0o600)  # noqa: PTH101 -- reads as what it is: the mode is put back
        return SigningKey(key)

    def sign(self, size: int, root: bytes, time: datetime) -> TreeHead:
        """A head for a log of `size` entries."""
        moment = time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = TreeHead(self.public.origin, size, root.hex(), moment)
        return msgspec.structs.replace(head, signature=self._key.sign(head.text().encode()).hex())


def _no_key(path: Path, found: str) -> Damaged:
    return Damaged(
        "the log's signing key cannot be used",
        field=str(path),
        found=found,
        expected="an Ed25519 key in PEM",
        next_step="restore it from a backup; without it the log cannot go on under its name",
    )
