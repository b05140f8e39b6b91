from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.rest.compression import compressed, decompressed
from tsavo.vocabulary import TooLarge, Unreadable

PACK: dict[bytes, Callable[[bytes], bytes]] = {b"gzip": gzip.compress, b"deflate": zlib.compress}
LIMIT = 1 << 20


def unpack(body: bytes, encoding: bytes | None, limit: int = LIMIT) -> bytes:
    return asyncio.run(decompressed(body, encoding, limit))


@given(st.binary(max_size=300), st.sampled_from([1, 400, 3000]), st.sampled_from([b"gzip", b"deflate"]))
def test_what_was_packed_comes_back(text: bytes, times: int, encoding: bytes) -> None:
    whole = text * times
    assert unpack(PACK[encoding](whole), encoding) == whole


@pytest.mark.parametrize("encoding", [None, b"identity"])
def test_a_body_that_is_not_packed_stays_as_it_is(encoding: bytes | None) -> None:
    assert unpack(b"as it is", encoding) == b"as it is"


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, 65535, 65536, 65537])
def test_the_limit_is_that_of_the_unpacked_body(size: int) -> None:
    assert len(unpack(gzip.compress(bytes(size)), b"gzip")) == size
    with pytest.raises(TooLarge):
        unpack(gzip.compress(bytes(size)), b"gzip", size - 1)


def test_a_bomb_is_not_unpacked_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(100 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            unpack(bomb, b"gzip")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * LIMIT


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip", b"", b"\xff"])
def test_other_encodings_are_told_what_there_is(encoding: bytes) -> None:
    with pytest.raises(Unreadable, match="gzip, deflate") as caught:
        unpack(b"x", encoding)
    assert caught.value.field == "Content-Encoding"


@pytest.mark.parametrize("size", [10, 1_000_000])
@pytest.mark.parametrize("encoding", PACK)
def test_broken_bodies_are_refused(encoding: bytes, size: int) -> None:
    whole = PACK[encoding](bytes(range(256)) * (size // 256 + 1))
    for body in (whole[:-1], whole[: len(whole) // 2], whole + b"!", b"", b"not packed", whole[1:]):
        with pytest.raises(Unreadable):
            unpack(body, encoding)
    other = next(name for name in PACK if name != encoding)
    with pytest.raises(Unreadable):
        unpack(whole, other)


@given(st.binary(max_size=100), st.sampled_from([b"gzip", b"deflate"]))
def test_any_bytes_are_unpacked_or_refused(body: bytes, encoding: bytes) -> None:
    try:
        unpack(body, encoding)
    except Unreadable as error:
        assert error.reason


@pytest.mark.parametrize("size", [10_000, 1_000_000])
@pytest.mark.parametrize(("asked", "unpacked"), [(b"gzip", gzip.decompress), (b"deflate", zlib.decompress)])
def test_answers_are_packed_for_those_who_ask(
    asked: bytes, unpacked: Callable[[bytes], bytes], size: int
) -> None:
    body = bytes(size)
    packed = asyncio.run(compressed(body, asked))
    assert packed is not None
    assert len(packed) < size / 10
    assert unpacked(packed) == body


@pytest.mark.parametrize(
    "asked", [b"gzip, deflate", b"gzip, deflate, br, zstd", b"*", b"br", b"identity", b""]
)
def test_answers_stay_as_they_are_for_those_who_can_read_anything(asked: bytes) -> None:
    assert asyncio.run(compressed(bytes(100_000), asked)) is None


def test_small_answers_stay_as_they_are() -> None:
    assert asyncio.run(compressed(bytes(1000), b"gzip")) is None
