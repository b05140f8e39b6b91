from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from tsavo.client.ejecting import check_folder, unpack
from tsavo.vocabulary import Conflict, Invalid, NotFound, Unreadable


def packed(*entries: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644) -> io.BytesIO:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in entries:
            entry = zipfile.ZipInfo("placeholder")
            entry.filename = name
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    sink.seek(0)
    return sink


def test_files_land_where_they_belong(tmp_path: Path) -> None:
    folder = unpack(packed(("MLmodel", b"one"), ("code/a/b.py", b"two")), tmp_path / "out")
    assert (folder / "MLmodel").read_bytes() == b"one"
    assert (folder / "code/a/b.py").read_bytes() == b"two"


@pytest.mark.parametrize(
    "name",
    ["../evil", "/evil", "a/../../evil", "a//evil", "./evil", "a\\evil", "C:evil", "evil\x01", "a/", ""],
)
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unreadable):
        unpack(packed(("good", b""), (name, b"evil")), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR):
        with pytest.raises(Unreadable):
            unpack(packed(("link", b"/etc/passwd"), mode=kind | 0o777), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_may_come_once(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        unpack(packed(("a", b"one"), ("a", b"two")), tmp_path / "out")


def test_what_did_not_come_whole_is_refused(tmp_path: Path) -> None:
    whole = packed(("a", b"x" * 1000)).getvalue()
    with pytest.raises(Unreadable):
        unpack(io.BytesIO(whole[:-30]), tmp_path / "out")
    flipped = bytearray(whole)
    flipped[200] ^= 1
    with pytest.raises(Unreadable):
        unpack(io.BytesIO(bytes(flipped)), tmp_path / "out")


def test_a_folder_that_is_not_empty_needs_force_and_keeps_other_files(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "MLmodel").write_text("old")
    with pytest.raises(Conflict, match="--force"):
        unpack(packed(("MLmodel", b"new")), tmp_path)
    assert (tmp_path / "MLmodel").read_text() == "old"
    unpack(packed(("MLmodel", b"new")), tmp_path, force=True)
    assert (tmp_path / "MLmodel").read_text() == "new"
    assert (tmp_path / "mine").read_text() == "mine"


def test_force_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "code").symlink_to(outside)
    (folder / "MLmodel").symlink_to(outside / "file")
    unpack(packed(("MLmodel", b"new")), folder, force=True)
    assert (outside / "file").read_text() == "precious"
    assert not (folder / "MLmodel").is_symlink()
    with pytest.raises(Conflict):
        unpack(packed(("code/file", b"evil")), folder, force=True)
    assert (outside / "file").read_text() == "precious"


def test_the_folder_itself_is_no_link_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").write_text("")
    for name in ("link", "file"):
        with pytest.raises(Invalid):
            check_folder(tmp_path / name, force=True)
    with pytest.raises(NotFound):
        check_folder(tmp_path / "no" / "such", force=False)
