"""Keys on disk before they are used, known by whose they are, and gone without a trace."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tsavo.privacy import KeyRing, KeyStore, MasterKey, SubjectKey, seal
from tsavo.vocabulary import Damaged, NotFound

MASTER = MasterKey(bytes(32))


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys" / "keys.db", MASTER)


def wrapped(store: KeyStore) -> dict[bytes, bytes]:
    connection = sqlite3.connect(store.path)
    try:
        return dict(connection.execute("SELECT id, wrapped FROM keys WHERE wrapped IS NOT NULL"))
    finally:
        connection.close()


def test_keys_are_found_again_by_another_process(store: KeyStore) -> None:
    made = dict(store.make(600, 1))
    other = KeyStore(store.path, MASTER, make=False)
    assert other.open(made).keys == made
    assert other.open([b"x" * 16]).keys == {}
    assert all(key not in store.path.read_bytes() for key in made.values())


def test_an_erased_key_is_in_no_byte_of_the_file(store: KeyStore) -> None:
    made = [key_id for key_id, _ in store.make(1_000, 1)]
    store.assign((key_id, f"subject-{number % 10}") for number, key_id in enumerate(made))
    before = wrapped(store)
    gone = {before[key_id] for number, key_id in enumerate(made) if number % 10 == 3}
    assert all(one in store.path.read_bytes() for one in gone)
    ids = store.erase("subject-3", [], 77)
    assert len(ids) == 100
    content = b"".join(path.read_bytes() for path in store.path.parent.iterdir())
    assert not any(one in content for one in gone)
    assert all(one in content for key_id, one in before.items() if one not in gone)
    found = store.open(made)
    assert found.erased == dict.fromkeys(ids, 77)
    assert len(found.keys) == 900


def test_a_key_that_only_a_record_names_is_erased_and_stays_so(store: KeyStore) -> None:
    (key_id, _), (other, _) = store.make(2, 1)
    assert store.erase("zoe", [key_id], 5) == [key_id]
    # The keeper reads the record later, and notes whose the key is.
    store.assign([(key_id, "zoe"), (other, "zoe")])
    assert store.open([key_id, other]).erased == {key_id: 5}
    assert store.subject_of("zoe") == (1, 5)
    assert sorted(store.erase("zoe", [], 9)) == sorted([key_id, other])
    assert store.open([key_id, other]).erased == {key_id: 5, other: 9}
    assert [(one.subject, one.time) for one in store.erasures()] == [("zoe", 5), ("zoe", 9)]


def test_another_file_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    with pytest.raises(NotFound):
        KeyStore(path, MASTER, make=False)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(Damaged, match="cannot be read"):
        KeyStore(path, MASTER)


def test_a_ring_tells_erased_from_lost(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, tmp_path / "master.key")
    with pytest.raises(NotFound, match="ever recorded"):
        ring.unseal([(b"x" * 60, "here")])
    store = ring.open(make=True)
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    rows = []
    for (key_id, key), name in zip(store.make(3, 1), "abc", strict=True):
        rows.append((seal(SubjectKey(name, key_id, AESGCM(key)), (0,), [name], "here"), "here"))
        ring.own([(key_id, name)])
    assert ring.unseal(rows) == [{0: "a"}, {0: "b"}, {0: "c"}]
    store.erase("b", [], 1)
    assert ring.unseal(rows) == [{0: "a"}, None, {0: "c"}]
    connection = sqlite3.connect(store.path)
    connection.execute("DELETE FROM keys WHERE subject = 'c'")
    connection.commit()
    connection.close()
    with pytest.raises(NotFound, match="not destroyed by an erasure"):
        ring.unseal(rows)
