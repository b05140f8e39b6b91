from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tsavo.console import spooling
from tsavo.console.spooling import Spool
from tsavo.vocabulary import TooLarge

MIB = 1 << 20


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize("free", [0, spooling._LEFT_FREE], ids=["full", "as good as full"])
def test_on_a_full_disk_small_answers_go_through_memory_and_large_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(free))
    with Spool(str(tmp_path)) as spool:
        spool.write(b"x" * MIB)
        with pytest.raises(TooLarge) as caught:
            spool.write(b"x")
    assert caught.value.field == "query"


def test_a_large_answer_lies_in_a_file_without_a_name(tmp_path: Path) -> None:
    with Spool(str(tmp_path)) as spool:
        for _ in range(5):
            spool.write(b"x" * MIB)
        assert list(tmp_path.iterdir()) == []
        spool.seek(0)
        assert len(spool.read()) == 5 * MIB
