from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.vocabulary import NAME_PATTERN, Invalid, VersionRef, check_name

names = st.from_regex(NAME_PATTERN, fullmatch=True)


@given(names, st.integers(1, 2**31 - 1))
def test_a_version_reads_back_as_it_is_written(model: str, number: int) -> None:
    assert VersionRef.parse(str(VersionRef(model, number))) == VersionRef(model, number)


@given(st.text())
def test_only_the_one_shape_is_a_name(text: str) -> None:
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", text):
        assert check_name(text) == text
    else:
        with pytest.raises(Invalid):
            check_name(text)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-x", ".x", "a/b", "a\\b", "a b", "a\n", "A", "ä", "a\0", "a" * 101, "a@1", "%2e"]
)
def test_names_that_would_mean_something_elsewhere(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_name(name, "endpoint")
    assert caught.value.field == "endpoint"


@pytest.mark.parametrize(
    "text", ["credit", "credit@", "@1", "credit@0", "credit@-1", "credit@1.0", "credit@x", "credit@²", "a@1@2",
             "credit@" + "9" * 30, "credit@2147483648", "Credit@1", "credit@ 1"]
)  # fmt: skip
def test_what_is_not_a_version(text: str) -> None:
    with pytest.raises(Invalid):
        VersionRef.parse(text)
