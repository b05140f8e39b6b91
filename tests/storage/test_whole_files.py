from __future__ import annotations

from pathlib import Path

import pytest

from tsavo.storage import replaced_file


def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.csv"
    with replaced_file(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    reader = path.open("rb")
    with replaced_file(path) as file:
        file.write(b"two")
        assert path.read_bytes() == b"one"
    assert path.read_bytes() == b"two"
    assert reader.read() == b"one"
    reader.close()
    assert [found.name for found in path.parent.iterdir()] == ["c.csv"]


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(b"one")
    with pytest.raises(RuntimeError), replaced_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"one"
    assert [found.name for found in tmp_path.iterdir()] == ["c.csv"]


def test_other_programs_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with replaced_file(tmp_path / "c.csv"):
        pass
    assert (tmp_path / "c.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode
