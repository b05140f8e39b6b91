from __future__ import annotations

import pytest

from tsavo.governance import Principal, Right, local_owner, require
from tsavo.vocabulary import Forbidden


@pytest.mark.parametrize("right", Right)
def test_the_local_owner_holds_every_right(right: Right) -> None:
    require(local_owner("ada"), right)


@pytest.mark.parametrize("right", Right)
def test_every_other_right_does_not_help(right: Right) -> None:
    eve = Principal("eve", frozenset(Right) - {right})
    with pytest.raises(Forbidden) as caught:
        require(eve, right)
    assert "eve" in caught.value.reason
    assert right.value in str(caught.value)
