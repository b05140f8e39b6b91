"""Takes a version out as a folder: what the console packed is unpacked with care, for it is a file from elsewhere."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, Final

from tsavo.vocabulary import Conflict, Invalid, NotFound, Unreadable

__all__ = ["check_folder", "unpack"]

_MOST_FILES: Final = 1_000
_CHUNK: Final = 1 << 20
_FILE_MODE: Final = 0o644


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise unless a version may be written into `folder`.

    Raises
    ------
    Conflict
        When there is something in it already, unless `force`.
    Invalid, NotFound
        When it is a file or a link, or the folder around it is not there.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise Invalid("not a folder", field="folder", found=str(folder), expected="a new or an empty folder")
    if not folder.parent.is_dir():
        raise NotFound("there is no such folder", field="folder", found=str(folder.parent))
    if folder.exists() and any(folder.iterdir()) and not force:
        raise Conflict(
            "there is something in this folder already",
            field="folder",
            found=str(folder),
            expected="a new or an empty folder",
            next_step="choose another one, or write over what is there with --force (force=True)",
        )


def unpack(archive: IO[bytes], folder: Path, *, force: bool = False) -> Path:
    """Unpack an ejected version into `folder`; return the folder.

    Parameters
    ----------
    force
        Write over files of the same names. Other files in the folder stay as they are, and no link is followed.

    Raises
    ------
    Unreadable
        When it is no zip of plain files with plain names.
    Conflict, Invalid, NotFound
        As `check_folder`; or when a link in the folder is in the way.
    """
    check_folder(folder, force=force)
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            _check_names(entries)
            folder.mkdir(exist_ok=True)
            for entry in entries:
                with packed.open(entry) as content:
                    _write(folder, PurePosixPath(entry.filename), content)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise Unreadable(f"the ejected version did not come whole: {error}", field="archive") from error
    return folder


def _check_names(entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    kinds = {stat.S_IFMT(entry.external_attr >> 16) for entry in entries}
    wrong = [name for name in names if not _is_plain(name)]
    if wrong or len(set(names)) != len(names) or len(names) > _MOST_FILES or not kinds <= {0, stat.S_IFREG}:
        raise Unreadable(
            "this is no ejected version",
            field="archive",
            found=wrong[:5] or None,
            expected=f"at most {_MOST_FILES} plain files below one folder",
        )


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return all(
        part not in ("", ".", "..") and part.isprintable() and not set(part) & set('\\:*?"<>|')
        for part in parts
    )


def _write(folder: Path, name: PurePosixPath, content: IO[bytes]) -> None:
    place = folder
    for part in name.parts[:-1]:
        place /= part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise Conflict(
                "a file or a link is where a folder belongs",
                field="folder",
                found=str(place),
                next_step="choose another folder",
            )
        place.mkdir(exist_ok=True)
    target = place / name.name
    # What stands there is taken away, not written into: it may be a link to somewhere else.
    target.unlink(missing_ok=True)
    file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    with os.fdopen(file, "wb") as out:
        while piece := content.read(_CHUNK):
            out.write(piece)
