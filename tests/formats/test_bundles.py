from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tsavo.client.bundles import pack
from tsavo.formats import bundles
from tsavo.formats.bundles import inside, unpack
from tsavo.vocabulary import Invalid, TooLarge, TsavoError, Unreadable


def archive(path: Path, entries: dict[str, bytes], **attributes: int) -> Path:
    """A zip whose entries all have the given attributes."""
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in entries.items():
            entry = zipfile.ZipInfo("placeholder")
            entry.filename = name  # as it is: the constructor would tidy it
            for attribute, value in attributes.items():
                setattr(entry, attribute, value)
            opened.writestr(entry, content)
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_what_was_packed_comes_out(tmp_path: Path) -> None:
    files: dict[str, Path | bytes] = {"MLmodel": b"m", "a/b/c.bin": bytes(range(256)), "ü b.txt": b""}
    (tmp_path / "zip").write_bytes(pack(files, "MLmodel"))
    folder = unpack(tmp_path / "zip", tmp_path / "out")
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in files} == {0o600}


def test_entries_that_can_be_run_cannot_any_more(tmp_path: Path) -> None:
    given_ = archive(tmp_path / "zip", {"run.sh": b""}, external_attr=(stat.S_IFREG | 0o6777) << 16)
    assert stat.S_IMODE((unpack(given_, tmp_path / "out") / "run.sh").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "a/../../out.txt",
        "/etc/cron.d/x",
        "//host/share",
        "C:/x",
        "c:x",
        "..\\out.txt",
        "a\\b",
        "./a",
        "a//b",
        "a/.",
        "a\x01b",
        "a\nb",
        "x" * 256,
        "/".join("d" * 40),
    ],
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    given_ = archive(tmp_path / "zip", {"first": b"", name: b"x"})
    with pytest.raises(Invalid, match="refused"):
        unpack(given_, tmp_path / "out")
    assert left(tmp_path) == ["zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
@pytest.mark.parametrize("system", [0, 3])
def test_links_and_devices(tmp_path: Path, kind: int, system: int) -> None:
    given_ = archive(
        tmp_path / "zip", {"x": b"/etc/passwd"}, external_attr=(kind | 0o777) << 16, create_system=system
    )
    with pytest.raises(Invalid, match="link or a device"):
        unpack(given_, tmp_path / "out")
    assert left(tmp_path) == ["zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names",
    [("a", "a"), ("Model.py", "model.py"), ("a", "a/b"), ("a/b", "A/c"), ("ﬁle", "file"), ("x/", "x")],
)
def test_names_that_are_one_on_some_file_system(tmp_path: Path, names: tuple[str, str]) -> None:
    for at, order in enumerate((names, names[::-1])):
        path = tmp_path / f"zip{at}"
        with zipfile.ZipFile(path, "w") as opened:
            for name in order:
                opened.writestr(name, b"")
        with pytest.raises(Invalid, match="one name"):
            unpack(path, tmp_path / f"out{at}")


def test_a_folder_may_be_named_before_or_after_its_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zip", "w") as opened:
        for name in ("a/b", "a/", "c/", "c/d"):
            opened.writestr(name, b"")
    assert left(unpack(tmp_path / "zip", tmp_path / "out")) == ["a", "a/b", "c", "c/d"]


def test_a_bomb_stops_at_the_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "_FREE", 1 << 16)
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros", bytes(8 << 20))
    with pytest.raises(TooLarge):
        unpack(tmp_path / "zip", tmp_path / "out")
    assert left(tmp_path) == ["zip"]


def test_claimed_sizes_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory says 10 bytes; the data goes on."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a", bytes(1 << 20))
    small = sink.getvalue().replace(struct.pack("<L", 1 << 20), struct.pack("<L", 10))
    (tmp_path / "zip").write_bytes(small)
    monkeypatch.setattr(bundles, "MAX_UNPACKED", 1 << 16)
    with pytest.raises((Unreadable, TooLarge)):
        unpack(tmp_path / "zip", tmp_path / "out")
    assert left(tmp_path) == ["zip"]


def test_bounds_on_entries_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_ = archive(tmp_path / "zip", {"a": b"123", "b": b"456"})
    monkeypatch.setattr(bundles, "MAX_UNPACKED", 5)
    with pytest.raises(TooLarge, match="6 bytes in 2 entries"):
        unpack(given_, tmp_path / "out")
    monkeypatch.setattr(bundles, "MAX_ENTRIES", 1)
    with pytest.raises(TooLarge):
        unpack(given_, tmp_path / "out")


def test_unusual_packing(tmp_path: Path) -> None:
    for at, method in enumerate((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)):
        with zipfile.ZipFile(tmp_path / f"zip{at}", "w", method) as opened:
            opened.writestr("a", b"1" * 100)
        with pytest.raises(Unreadable, match="unusual"):
            unpack(tmp_path / f"zip{at}", tmp_path / "out")
    content = bytearray(archive(tmp_path / "zip", {"a": b"1"}).read_bytes())
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(head) + flags] |= 1
    (tmp_path / "zip").write_bytes(content)
    with pytest.raises(Unreadable, match="encrypted"):
        unpack(tmp_path / "zip", tmp_path / "out")


CONTENT = pack({"MLmodel": b"flavors: {}" * 10, "data/model.bin": os.urandom(500)}, "MLmodel")


@settings(deadline=None, max_examples=50)
@given(cut=st.integers(0, len(CONTENT) - 1))
def test_a_truncated_archive(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("cut")
    (folder / "zip").write_bytes(CONTENT[:cut])
    with pytest.raises(Unreadable):
        unpack(folder / "zip", folder / "out")
    assert left(folder) == ["zip"]


@settings(deadline=None)
# Leads zipfile to a place before the beginning of the file.
@example(at=len(CONTENT) - 5, bit=0)
@given(at=st.integers(0, len(CONTENT) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    """Refused, or harmless: whatever comes out lies in the folder and holds the bytes that were packed."""
    folder = tmp_path_factory.mktemp("bit")
    content = bytearray(CONTENT)
    content[at] ^= 1 << bit
    (folder / "zip").write_bytes(content)
    try:
        unpack(folder / "zip", folder / "out")
    except TsavoError:
        assert left(folder) == ["zip"]
        return
    originals = {b"flavors: {}" * 10, zipfile.ZipFile(io.BytesIO(CONTENT)).read("data/model.bin")}
    assert {path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()} <= originals
    assert {path.name for path in folder.iterdir()} == {"zip", "out"}


def test_paths_within_a_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "model").write_text("m")
    (tmp_path / "secret").write_text("s")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(folder / "data")
    assert inside(folder, "data/model", "path").read_text() == "m"
    for name in (
        "../secret",
        "/etc/passwd",
        "data/../../secret",
        "link",
        "linked/model",
        "nowhere",
        "",
        "a\\b",
    ):
        with pytest.raises(Invalid) as caught:
            inside(folder, name, "flavors.x")
        assert caught.value.field == "flavors.x"
