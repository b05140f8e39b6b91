from __future__ import annotations

from pathlib import Path

import pytest

from tsavo.formats.plain_yaml import read_yaml
from tsavo.vocabulary import TooLarge, TsavoError, Unreadable


def read(folder: Path, text: str) -> object:
    (folder / "file.yaml").write_text(text)
    return read_yaml(folder / "file.yaml")


def test_plain_data(tmp_path: Path) -> None:
    text = "a:\n  b: [1, 2.5, true, null]\ntime: 2026-11-21 04:19:18\ntext: 'x\n  y'\n"
    assert read(tmp_path, text) == {
        "a": {"b": [1, 2.5, True, None]},
        "time": "2026-11-21 04:19:18",
        "text": "x y",
    }


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x\n",
        "a: &x {<<: *x}\n",
        "!!python/object/apply:os.system ['touch ran']\n",
        "!!python/name:os.system\n",
        "!custom {a: 1}\n",
        "[" * 50 + "]" * 50,
        "[" * 100_000,
        "a: [1",
        "a: 1\n---\nb: 2\n",
        "\x00",
    ],
)
def test_what_is_more_than_plain_data(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unreadable):
        read(tmp_path, text)


def test_a_bomb_of_aliases_costs_nothing(tmp_path: Path) -> None:
    levels = [f"l{at}: &l{at} [{', '.join([f'*l{at - 1}'] * 9)}]" for at in range(1, 10)]
    with pytest.raises(Unreadable, match="cannot be read"):
        read(tmp_path, "\n".join(["l0: &l0 [x]", *levels]))


def test_size(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        read(tmp_path, "a: " + "x" * (2 << 20))
    (tmp_path / "file.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(TsavoError):
        read_yaml(tmp_path / "file.yaml")
