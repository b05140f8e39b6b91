"""A sealed row opens with its key, in its place, as it was; and in no other way."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tsavo.privacy import SubjectKey, open_sealed, seal, sealed_columns, sealing_key
from tsavo.vocabulary import Damaged

KEY = b"k" * 32
SUBJECT = SubjectKey("p" * 32, b"i" * 16, AESGCM(KEY))
VALUES = st.lists(
    st.tuples(st.integers(0, 65_535), st.binary() | st.text() | st.none()), unique_by=lambda one: one[0]
)


@given(VALUES, st.text())
def test_what_was_sealed_is_what_is_opened(
    values: list[tuple[int, bytes | str | None]], context: str
) -> None:
    columns = tuple(column for column, _ in values)
    sealed = seal(SUBJECT, columns, [value for _, value in values], context)
    assert open_sealed(KEY, sealed, context) == dict(values)
    assert sealing_key(sealed) == SUBJECT.key_id
    assert sealed_columns(sealed) == columns


@given(st.data())
def test_any_change_is_noticed(data: st.DataObject) -> None:
    sealed = bytearray(seal(SUBJECT, (3, 5), [b"\0" * 8, "Zoë"], "here"))
    # The key's id is what the key is found by; all behind it is bound.
    place = data.draw(st.integers(16, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        open_sealed(KEY, bytes(sealed), "here")


def test_it_opens_in_no_other_place_and_with_no_other_key() -> None:
    sealed = seal(SUBJECT, (0,), ["Zoë"], "here")
    for key, context in ((KEY, "there"), (b"j" * 32, "here")):
        with pytest.raises(Damaged):
            open_sealed(key, sealed, context)
    for cut in range(len(sealed)):
        with pytest.raises(Damaged):
            open_sealed(KEY, sealed[:cut], "here")


def test_the_same_row_is_never_sealed_the_same_way() -> None:
    assert len({seal(SUBJECT, (0,), ["Zoë"], "here") for _ in range(100)}) == 100
