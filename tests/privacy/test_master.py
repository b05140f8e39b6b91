"""The master key: made once, read by all, and good for pseudonyms and for wrapping."""

from __future__ import annotations

import hashlib
import hmac
import threading
from pathlib import Path

import pytest

from tsavo.privacy import MasterKey
from tsavo.vocabulary import Damaged, Unavailable


def test_a_pseudonym_is_what_rfc_2104_says() -> None:
    secret = bytes(range(32))
    derived = hmac.new(secret, b"tsavo pseudonym 1", hashlib.sha256).digest()
    expected = hmac.new(derived, "Zoë 7".encode(), hashlib.sha256).hexdigest()[:32]
    assert MasterKey(secret).pseudonym("Zoë 7") == expected
    assert MasterKey(bytes(32)).pseudonym("Zoë 7") != expected


def test_processes_that_make_it_at_once_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "master.key"
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(MasterKey.read(path, make=True).fingerprint))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["master.key"]


def test_a_wrapped_key_opens_with_its_master_key_and_in_its_place_only() -> None:
    master, other = MasterKey(bytes(32)), MasterKey(bytes([1] * 32))
    wrapped = master.wrap(b"a" * 16, b"k" * 32)
    assert master.unwrap(b"a" * 16, wrapped) == b"k" * 32
    assert b"k" * 8 not in wrapped
    for keyring, place in ((other, b"a" * 16), (master, b"b" * 16)):
        with pytest.raises(Damaged, match="cannot be opened"):
            keyring.unwrap(place, wrapped)


@pytest.mark.parametrize(
    "text", ["", "abc", "zz" * 32, "ab" * 31], ids=["empty", "short", "no-hex", "31-bytes"]
)
def test_another_file_is_no_master_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(text)
    with pytest.raises(Damaged, match="not one"):
        MasterKey.read(path, make=True)


def test_a_missing_key_is_not_made_where_it_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        MasterKey.read(tmp_path / "master.key", make=False)
