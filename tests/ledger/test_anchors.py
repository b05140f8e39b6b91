"""Heads kept elsewhere: a file, git, an object store."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.examples import NOON
from tsavo.ledger import PublicKey, SigningKey, open_anchor
from tsavo.vocabulary import Invalid, TreeHead, Unavailable, Unreadable


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.make(tmp_path / "key.pem")


@pytest.fixture
def heads(key: SigningKey) -> list[TreeHead]:
    return [key.sign(size, bytes([size]) * 32, NOON) for size in (1, 5, 7)]


def destinations(folder: Path) -> dict[str, str]:
    subprocess.run(["git", "init", "--quiet", str(folder / "tree")], check=True)
    (folder / "store").mkdir()
    return {
        "file": str(folder / "heads.jsonl"),
        "git": f"git:{folder / 'tree'}",
        "store": f"file://{folder / 'store'}",
    }


@pytest.mark.parametrize("kind", ["file", "git", "store"])
def test_heads_come_back_as_they_were_and_each_once(tmp_path: Path, heads: list[TreeHead], kind: str) -> None:
    anchor = open_anchor(destinations(tmp_path)[kind])
    assert anchor.heads() == []
    for head in heads:
        assert anchor.add(head)
        assert not anchor.add(head)
    assert open_anchor(destinations_again(tmp_path)[kind]).heads() == heads
    for since in range(10):
        assert anchor.heads(since) == [head for head in heads if head.size >= since], since


def destinations_again(folder: Path) -> dict[str, str]:
    return {
        "file": str(folder / "heads.jsonl"),
        "git": f"git:{folder / 'tree'}",
        "store": f"file://{folder / 'store'}",
    }


def test_each_head_is_a_commit(tmp_path: Path, heads: list[TreeHead]) -> None:
    anchor = open_anchor(destinations(tmp_path)["git"])
    for head in heads:
        anchor.add(head)
    words = ["git", "-C", str(tmp_path / "tree"), "log", "--format=%s"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told == [f"{head.origin}: {head.size} entries, root {head.root}" for head in reversed(heads)]


def test_an_object_is_never_written_over(tmp_path: Path, heads: list[TreeHead]) -> None:
    anchor = open_anchor(destinations(tmp_path)["store"])
    anchor.add(heads[0])
    (path,) = (tmp_path / "store" / "tsavo-heads").iterdir()
    path.write_bytes(b"what is there stays")
    assert not anchor.add(heads[0])
    assert path.read_bytes() == b"what is there stays"
    with pytest.raises(Unreadable, match="not a signed tree head"):
        anchor.heads()


def test_what_cannot_be_written_says_so(tmp_path: Path, heads: list[TreeHead]) -> None:
    with pytest.raises(Unavailable, match="could not be anchored"):
        open_anchor(str(tmp_path / "nowhere" / "heads.jsonl")).add(heads[0])
    with pytest.raises(Invalid, match="not a git work tree"):
        open_anchor(f"git:{tmp_path}").add(heads[0])
    with pytest.raises(Invalid, match="not an object store"):
        open_anchor("nosuch://place")


def test_a_head_is_a_checkpoint_in_a_signed_note(key: SigningKey, heads: list[TreeHead]) -> None:
    """The format of C2SP's signed-note and tlog-checkpoint, taken apart by hand."""
    note = key.public.note(heads[1])
    text, _, signatures = note.partition("\n\n")
    origin, size, root, *_ = text.splitlines()
    assert (origin, size, base64.b64decode(root)) == (heads[1].origin, "5", bytes([5]) * 32)
    dash, name, encoded = signatures.rstrip("\n").split(" ")
    blob = base64.b64decode(encoded)
    assert (dash, name) == ("\u2014", origin)
    vname, identifier, public = str(key.public).split("+", 2)
    raw = base64.b64decode(public)
    assert (vname, raw[0], len(raw)) == (origin, 1, 33)
    assert blob[:4] == hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4] == bytes.fromhex(identifier)
    Ed25519PublicKey.from_public_bytes(raw[1:]).verify(blob[4:], (text + "\n").encode())


@pytest.mark.parametrize("text", ["", "tsavo/x", "tsavo/x+00000000+AAAA", "a+b+c+d"])
def test_what_is_no_key_is_refused(text: str, key: SigningKey) -> None:
    assert PublicKey.parse(f" {key.public}\n").raw == key.public.raw
    with pytest.raises(Invalid, match="not the public key of a log"):
        PublicKey.parse(text)


def test_a_head_that_was_changed_is_not_signed(key: SigningKey, heads: list[TreeHead]) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"size": 6},
        {"root": "00" * 32},
        {"time": "later"},
        {"origin": "tsavo/other"},
    )
    for change in changes:
        assert not key.public.signed(msgspec.structs.replace(heads[1], **change))
    assert key.public.signed(heads[1])


def test_nothing_is_added_to_a_file_that_ends_in_the_middle_of_a_head(
    tmp_path: Path, heads: list[TreeHead]
) -> None:
    anchor = open_anchor(str(tmp_path / "heads.jsonl"))
    for head in heads:
        anchor.add(head)
    whole = (tmp_path / "heads.jsonl").read_bytes()
    (tmp_path / "heads.jsonl").write_bytes(whole[:-9])
    for head in heads:
        with pytest.raises(Unreadable):
            anchor.add(head)
    assert (tmp_path / "heads.jsonl").read_bytes() == whole[:-9]


def test_a_place_that_cannot_be_read_is_told_in_words_of_ours(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Unavailable):
        open_anchor(str(tmp_path / "folder")).heads()
