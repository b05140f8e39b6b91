"""The collector of cycles rests for a block, and only for that."""

from __future__ import annotations

import gc

import pytest

from tsavo.lake.undisturbed import undisturbed


def test_it_rests_and_goes_on_even_after_an_error() -> None:
    assert gc.isenabled()
    with pytest.raises(ValueError, match="mine"), undisturbed():
        assert not gc.isenabled()
        with undisturbed():
            pass
        assert not gc.isenabled()
        raise ValueError("mine")
    assert gc.isenabled()
