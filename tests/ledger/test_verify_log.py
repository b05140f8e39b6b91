"""The independent verifier: what it must be, what it must find."""

from __future__ import annotations

import ast
import sqlite3
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.ledger.homes import VERIFIER, LoggedHome, build_home, load_verifier
from tests.ledger.tampering import KINDS, PARTS, Tamperer

_SEED = 20261121
_EACH = 10


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> LoggedHome:
    """A home that was stopped cleanly; tests put back what they change."""
    return build_home(tmp_path_factory.mktemp("tampering") / "home")


@pytest.fixture(scope="module")
def verifier() -> ModuleType:
    return load_verifier()


def test_it_is_short_and_stands_on_the_standard_library_alone() -> None:
    source = VERIFIER.read_text()
    assert len(source.splitlines()) < 200
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_it_says_yes_to_a_home_that_nobody_touched(stopped: LoggedHome) -> None:
    # Without site packages: nothing of ours, nor of anybody else's, can be imported.
    words = [sys.executable, "-I", "-S", str(VERIFIER), str(stopped.home.root), stopped.key]
    done = subprocess.run([*words, str(stopped.anchor)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "14 audit" in done.stdout
    assert done.stdout.endswith("somebody else did: none\n")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", PARTS)
def test_every_single_change_is_found_and_named(
    stopped: LoggedHome, verifier: ModuleType, part: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same signatures are checked again and again; that they are checked is seen elsewhere.
    monkeypatch.setattr(verifier, "is_signed", lru_cache(verifier.is_signed))
    home = stopped.home.root
    tamperer = Tamperer(home, home.with_name("home-old"), Random(f"{_SEED} {part} {kind}"))
    anchors = stopped.anchor.read_bytes().splitlines(keepends=True)
    for _ in range(_EACH):
        change = tamperer.change(part, kind)
        try:
            with pytest.raises((ValueError, OSError, sqlite3.Error, KeyError, TypeError)) as caught:
                verifier.verify(home, stopped.key, anchors)
        finally:
            tamperer.undo()
        named = f"{': '.join(map(str, caught.value.args))} {getattr(caught.value, 'filename', '')}"
        assert any(place in named for place in change.places), (change, named)
    verifier.verify(home, stopped.key, anchors)


def test_capital_letters_among_the_digits_of_a_signature_are_a_change(
    stopped: LoggedHome, verifier: ModuleType
) -> None:
    # One of 10,000 random changes was this one, and the first verifier did not see it.
    path = stopped.home.ledger / "head.json"
    content = path.read_bytes()
    start = content.index(b'"signature":"') + 13
    place = next(place for place in range(start, len(content)) if content[place : place + 1] in b"abcdef")
    try:
        path.write_bytes(content[:place] + content[place : place + 1].upper() + content[place + 1 :])
        with pytest.raises(ValueError, match="head that the key signed"):
            verifier.verify(stopped.home.root, stopped.key, [])
    finally:
        path.write_bytes(content)


# RFC 8032, section 7.1: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
        "24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302a"
        "eeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed2"
        "8dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize("vector", RFC_8032, ids=["test-1", "test-2", "test-3"])
def test_signatures_of_rfc_8032(verifier: ModuleType, vector: tuple[str, str, str, str]) -> None:
    _, public, message, signature = map(bytes.fromhex, vector)
    assert verifier.is_signed(public, message, signature)
    assert not verifier.is_signed(public, message + b"!", signature)
    for place in range(0, 64, 7):
        bent = signature[:place] + bytes([signature[place] ^ 1]) + signature[place + 1 :]
        assert not verifier.is_signed(public, message, bent)
    # The same signature with s + L, which the RFC refuses (5.1.7).
    more = int.from_bytes(signature[32:], "little") + verifier.L
    assert not verifier.is_signed(public, message, signature[:32] + more.to_bytes(32, "little"))


def test_it_agrees_with_another_library(verifier: ModuleType) -> None:
    random = Random(_SEED)
    for length in range(0, 200, 9):
        key = Ed25519PrivateKey.from_private_bytes(random.randbytes(32))
        message = random.randbytes(length)
        public = key.public_key().public_bytes_raw()
        assert verifier.is_signed(public, message, key.sign(message))
        assert not verifier.is_signed(public, message, Ed25519PrivateKey.generate().sign(message))


def test_a_log_that_was_rewritten_with_its_own_key_is_found_by_the_anchor(
    tmp_path: Path, verifier: ModuleType
) -> None:
    logged = LoggedHome(tmp_path / "home")
    logged.deploy("credit", why="the true reason")
    logged.close()
    anchors = logged.anchor.read_bytes().splitlines(keepends=True)
    # Somebody with the key begins the log again, with another past.
    key = logged.home.ledger.joinpath("key.pem").read_bytes()
    for path in sorted(logged.home.root.glob("ledger/**/*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for path in logged.home.root.glob("registry.db*"):
        path.unlink()
    (logged.home.ledger / "key.pem").write_bytes(key)
    forged = LoggedHome(tmp_path / "home", anchor=tmp_path / "other.jsonl")
    forged.deploy("credit", why="another reason")
    forged.close()
    assert forged.key == logged.key
    verifier.verify(forged.home.root, forged.key, [])
    with pytest.raises(ValueError, match=r"anchor, line 1|not what was signed"):
        verifier.verify(forged.home.root, forged.key, anchors)


def test_what_nobody_signed_yet_is_believed_only_when_asked_to(tmp_path: Path, verifier: ModuleType) -> None:
    logged = LoggedHome(tmp_path / "home")
    logged.deploy("credit")
    logged.attestor.round()
    logged.attestor.sign()
    logged.decide(0, 3)
    logged.crash()
    with pytest.raises(ValueError, match="nobody signed it"):
        verifier.verify(logged.home.root, logged.key, [])
    assert verifier.verify(logged.home.root, logged.key, [], True)
