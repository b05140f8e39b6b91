"""The Merkle tree, against the vectors of Certificate Transparency and a plain reading of RFC 9162."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.ledger.tree import (
    TreeFile,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    root_hash,
    stored_hashes,
)

# The leaves and roots with which Certificate Transparency's implementations are tested (RFC 6962).
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def by_the_book(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, word for word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return hashlib.sha256(b"\x01" + by_the_book(entries[:split]) + by_the_book(entries[split:])).digest()


@pytest.fixture
def tree(tmp_path: Path) -> TreeFile:
    return TreeFile(tmp_path / "tree", writable=True)


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(tree: TreeFile, size: int) -> None:
    tree.append(leaf_hash(leaf) for leaf in LEAVES[:size])
    assert tree.root().hex() == ROOTS[size]


def test_an_inclusion_proof_of_certificate_transparency(tree: TreeFile) -> None:
    tree.append(map(leaf_hash, LEAVES))
    assert [step.hex() for step in inclusion_proof(tree.read, 5, 8)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ROOTS_OF_6_AND_7,
        ROOTS[4],
    ]


# From the same tables: the root of leaves 6 and 7 alone.
ROOTS_OF_6_AND_7 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"


def test_every_root_and_proof_of_small_trees_holds(tree: TreeFile) -> None:
    entries = [str(number).encode() for number in range(70)]
    leaves = list(map(leaf_hash, entries))
    # In pieces of many sizes, as a log is written.
    for start, end in [(0, 1), (1, 8), (8, 9), (9, 40), (40, 70)]:
        tree.append(leaves[start:end])
    roots = [by_the_book(entries[:size]) for size in range(71)]
    assert [root_hash(tree.read, size) for size in range(71)] == roots
    for size in range(1, 71):
        for number in range(size):
            path = inclusion_proof(tree.read, number, size)
            assert is_included(leaves[number], number, size, path, roots[size])
            assert len(path) <= size.bit_length()
        for first in range(1, size + 1):
            path = consistency_proof(tree.read, first, size)
            assert is_consistent(first, size, path, roots[first], roots[size])


@given(st.integers(1, 40), st.data())
def test_a_proof_of_something_else_does_not_hold(size: int, data: st.DataObject) -> None:
    entries = [str(number).encode() for number in range(size)]
    stored = written(entries)
    number = data.draw(st.integers(0, size - 1))
    root, path = by_the_book(entries), inclusion_proof(stored.__getitem__, number, size)
    leaf = leaf_hash(entries[number])
    assert is_included(leaf, number, size, path, root)
    assert not is_included(leaf_hash(b"other"), number, size, path, root)
    assert not is_included(leaf, number, size, [*path, root], root)
    assert not is_included(leaf, size, size, path, root)
    for place in range(len(path)):
        bent = [*path[:place], bytes(32), *path[place + 1 :]]
        assert not is_included(leaf, number, size, bent, root)
        assert not is_included(leaf, number, size, path[:place], root)
    other = data.draw(st.integers(0, size - 1))
    if other != number:
        assert not is_included(leaf, other, size, path, root)


@given(st.integers(2, 40), st.data())
def test_a_rewritten_past_is_not_consistent(size: int, data: st.DataObject) -> None:
    entries = [str(number).encode() for number in range(size)]
    first = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, first - 1))
    forged = [*entries[:changed], b"forged", *entries[changed + 1 :]]
    path = consistency_proof(written(forged).__getitem__, first, size)
    old, new = by_the_book(entries[:first]), by_the_book(forged)
    assert not is_consistent(first, size, path, old, new)
    honest = consistency_proof(written(entries).__getitem__, first, size)
    assert is_consistent(first, size, honest, old, by_the_book(entries))
    assert not is_consistent(first, size, honest, old, new)


def test_a_tree_that_was_cut_goes_on_as_if_it_had_never_been_longer(tmp_path: Path) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(50)]
    for size in range(50):
        tree = TreeFile(tmp_path / "tree", writable=True)
        tree.cut(0)
        tree.append(leaves)
        tree.cut(size)
        tree.append(leaves[size:])
        assert tree.root() == by_the_book([bytes([number]) for number in range(50)])
        assert (tmp_path / "tree").stat().st_size == 32 * stored_hashes(50)
        tree.close()


def written(entries: list[bytes]) -> list[bytes]:
    """The hashes in the order of the file, made from its description."""
    places: list[bytes] = []
    for number in range(len(entries)):
        for level in range((number + 1 & -(number + 1)).bit_length()):
            places.append(by_the_book(entries[number + 1 - (1 << level) : number + 1]))
    return places
