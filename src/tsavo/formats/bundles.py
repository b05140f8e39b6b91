"""Unpacks bundles: a folder in a zip, of unknown origin. Only worker processes may call this.

Nothing of the archive is believed: names are checked before anything is written, and bytes are counted while they
are written, whatever sizes the archive claims. (`tsavo.client.bundles` is the other half, which packs.)
"""

from __future__ import annotations

import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from tsavo.vocabulary import Invalid, TooLarge, Unreadable

__all__ = ["MAX_ENTRIES", "MAX_RATIO", "MAX_UNPACKED", "inside", "unpack"]

MAX_ENTRIES: Final = 20_000
MAX_UNPACKED: Final = 2 << 30
MAX_RATIO: Final = 200
"""Bytes that one byte of an archive may become, once it has become more than `_FREE` bytes."""

_FREE: Final = 64 << 20
_MAX_NAME: Final = 1_000
_MAX_PART: Final = 255
_MAX_DEPTH: Final = 32
_CHUNK: Final = 1 << 20
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_ENCRYPTED: Final = 0x1
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


def unpack(archive: Path, into: Path) -> Path:
    """Unpack `archive` into the new folder `into`; return that folder.

    Files are readable and writable by their owner alone, and none can be run. On any error the folder is removed.

    Raises
    ------
    Unreadable
        When it is no zip archive, is truncated or damaged, or is encrypted.
    Invalid
        When a name leads out of the folder, occurs twice (also when only upper and lower case differ), or stands for
        a link or a device.
    TooLarge
        Beyond `MAX_ENTRIES` entries, `MAX_UNPACKED` bytes, or `MAX_RATIO` times the archive's own size.
    """
    into.mkdir(mode=0o700)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            _check(entries)
            _write(opened, entries, into, archive.stat().st_size)
    except BaseException as error:
        shutil.rmtree(into, ignore_errors=True)
        if isinstance(error, _BROKEN):
            raise Unreadable(
                "the archive is damaged, or no zip archive",
                field="source",
                found=f"{type(error).__name__}: {error}"[:200],
                expected="a zip archive that was written completely",
                next_step="register the folder itself: it is packed anew",
            ) from error
        raise
    return into


_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)


def inside(folder: Path, name: str, field: str) -> Path:
    """The file or folder `name` within `folder`, for names that a file of the bundle gives.

    Raises
    ------
    Invalid
        When the name leads elsewhere, is a link, or nothing is there.
    """
    reason = _odd(name)
    path = folder / name
    if reason is None and not path.exists():
        reason = "there is no such file in the bundle"
    elif reason is None and path.resolve() != folder.resolve() / name:
        reason = "it is a link"
    if reason is not None:
        raise Invalid(
            f"a path of the bundle cannot be used: {reason}",
            field=field,
            found=name,
            expected="the plain relative path of a file in the bundle",
        )
    return path


def _check(entries: list[zipfile.ZipInfo]) -> None:
    claimed = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES or claimed > MAX_UNPACKED:
        raise _too_large(f"{claimed} bytes in {len(entries)} entries")
    for entry in entries:
        if entry.header_offset < 0:
            # zipfile works it out from other fields, and would look for the entry before the file's beginning.
            raise zipfile.BadZipFile("an entry lies before the beginning of the archive")
        reason = _odd(entry.filename.removesuffix("/")) or _odd_kind(entry)
        if reason is not None:
            raise Invalid(
                f"the archive has an entry that is refused: {reason}",
                field="source",
                found=entry.filename,
                expected="plain files and folders, named relative to the archive",
            )
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
            raise Unreadable(
                "the archive is encrypted or packed in an unusual way",
                field="source",
                found=entry.filename,
                expected="entries that are stored or deflated",
            )
    _check_collisions(entries)


def _odd(name: str) -> str | None:
    """What is wrong with a name, if anything."""
    parts = name.split("/")
    if not name or name.startswith("/") or _DRIVE.match(name) or "\\" in name:
        return "its name is not relative"
    if any(part in {"", ".", ".."} for part in parts):
        return "its name leads elsewhere"
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        return "its name has characters that cannot be seen"
    if len(name.encode()) > _MAX_NAME or len(parts) > _MAX_DEPTH:
        return "its name is too long"
    if any(len(part.encode()) > _MAX_PART for part in parts):
        return "its name is too long"
    return None


def _odd_kind(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "it is a link or a device"
    if (kind == stat.S_IFDIR) != entry.is_dir() and kind != 0:
        return "it is a file and a folder at once"
    return None


def _check_collisions(entries: Iterable[zipfile.ZipInfo]) -> None:
    """No two names may be one file on any file system, and no file may be another one's folder."""
    files: set[str] = set()
    folders: set[str] = set()
    spelled: dict[str, str] = {}
    for entry in entries:
        path = PurePosixPath(entry.filename)
        own = _folded(path)
        above = {_folded(parent) for parent in path.parents if parent.name}
        twice = own in files or own in folders if not entry.is_dir() else own in files
        if twice or above & files:
            raise _collision(entry.filename)
        for part in (path, *(parent for parent in path.parents if parent.name)):
            if spelled.setdefault(_folded(part), str(part)) != str(part):
                raise _collision(entry.filename)
        (folders if entry.is_dir() else files).add(own)
        folders |= above


def _folded(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFKC", str(path).casefold())


def _collision(name: str) -> Invalid:
    return Invalid(
        "two entries of the archive have one name",
        field="source",
        found=name,
        expected="names that differ by more than upper and lower case",
    )


def _write(opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo], into: Path, packed: int) -> None:
    written = 0
    most = min(MAX_UNPACKED, max(_FREE, packed * MAX_RATIO))
    for entry in entries:
        path = into / entry.filename
        if entry.is_dir():
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            continue
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # 'x': the folder is ours and new; something that is there already is not what the archive says.
        with opened.open(entry) as source, path.open("xb") as sink:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                if written > most:
                    raise _too_large(f"more than {most} bytes, from {packed}")
                sink.write(chunk)
        path.chmod(0o600)


def _too_large(found: str) -> TooLarge:
    return TooLarge(
        "the archive unpacks to more than a model needs",
        field="source",
        found=found,
        expected=f"at most {MAX_UNPACKED} bytes in {MAX_ENTRIES} entries, and {MAX_RATIO} times its own size",
        next_step="leave training data and other large files out of the model's folder",
    )
