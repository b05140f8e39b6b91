"""The home's master key: wraps the keys of subjects, and makes pseudonyms of their names."""

from __future__ import annotations

import hashlib
import hmac
import os
import tempfile
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tsavo.storage import sync_file_system
from tsavo.vocabulary import Damaged, Unavailable

__all__ = ["MasterKey"]

_BYTES: Final = 32
_NONCE: Final = 12
_PSEUDONYM: Final = b"tsavo pseudonym 1"
_DIGEST: Final = b"tsavo request digest 1"
_WRAPPING: Final = b"tsavo key wrapping 1"


class MasterKey:
    """32 random bytes in a file that its owner alone may read.

    Of them three keys are derived (HMAC-SHA256 of a fixed text), so that none is used for two purposes.

    Parameters
    ----------
    secret
        32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        def derived(purpose: bytes) -> bytes:
            return hmac.digest(secret, purpose, "sha256")

        self._pseudonyms = derived(_PSEUDONYM)
        self._digests = derived(_DIGEST)
        self._cipher = AESGCM(derived(_WRAPPING))
        self.fingerprint = hashlib.sha256(derived(b"tsavo fingerprint 1")).hexdigest()[:16]

    @classmethod
    def read(cls, path: Path, *, make: bool) -> MasterKey:
        """The key in `path`, made there when it is missing and may be made.

        Raises
        ------
        Unavailable
            It cannot be read or made.
        Damaged
            It is not 64 hexadecimal digits.
        """
        try:
            if make and not path.exists():
                _make(path)
            text = path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(
                "the master key of personal data cannot be read",
                field="privacy.key_file",
                found=str(path),
                expected="a file of 64 hexadecimal digits that this user may read",
                next_step="put back the file that was there when the data was recorded; nothing else opens it",
            ) from error
        try:
            secret = bytes.fromhex(text)
        except ValueError:
            secret = b""
        if len(secret) != _BYTES:
            raise Damaged(
                "the master key of personal data is not one",
                field="privacy.key_file",
                found=f"{len(text)} characters",
                expected="64 hexadecimal digits",
                next_step=f"put back the file {path} from a backup",
            )
        return cls(secret)

    def pseudonym(self, subject: str) -> str:
        """32 hexadecimal digits of HMAC-SHA256 (RFC 2104): the same for the same subject, and of no use without us."""
        return hmac.digest(self._pseudonyms, subject.encode("utf-8", "surrogatepass"), "sha256")[:16].hex()

    def keyed_digest(self, digest: bytes) -> bytes:
        """HMAC-SHA256 of a request's digest: nobody can try out what the request may have said."""
        return hmac.digest(self._digests, digest, "sha256")

    def wrap(self, key_id: bytes, key: bytes) -> bytes:
        """`key`, sealed by AES-256-GCM (NIST SP 800-38D) for the place `key_id`."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, key, key_id)

    def unwrap(self, key_id: bytes, wrapped: bytes) -> bytes:
        """What `wrap` sealed; raise `Damaged` when it was another master key, or another place."""
        try:
            return self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], key_id)
        except (InvalidTag, ValueError) as error:
            raise Damaged(
                "a key of a data subject cannot be opened with this master key",
                field="privacy.key_file",
                found=f"the master key {self.fingerprint}",
                expected="the one that was there when the data was recorded",
            ) from error


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".key-", delete=False) as draft:
        draft.write(os.urandom(_BYTES).hex() + "\n")
        draft.flush()
        os.fsync(draft.fileno())
    try:
        # A link, and not a rename: of two processes that make one, the first wins and both read it.
        os.link(draft.name, path)
    except FileExistsError:
        pass
    finally:
        Path(draft.name).unlink()
    sync_file_system(path.parent)
