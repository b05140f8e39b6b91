from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from tsavo.storage import file_digest, write_atomically


def test_it_is_written_with_its_mode_and_nothing_is_left_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two", mode=0o400)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o400
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").touch()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_reader_sees_one_whole_file_or_the_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [b"a" * 300_000, b"b" * 200_000]
    write_atomically(path, contents[0])
    stop = threading.Event()
    torn = []

    def read() -> None:
        while not stop.is_set():
            if (found := path.read_bytes()) not in contents:
                torn.append(len(found))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(60):
        write_atomically(path, contents[turn % 2])
    stop.set()
    reader.join()
    assert torn == []


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_the_digest_is_that_of_the_whole_content(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert file_digest(path) == hashlib.sha256(b"x" * size).hexdigest()
