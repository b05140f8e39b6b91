"""Reads requirements files out of bundles: the lines that name what a model needs, and nothing that they point to."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tsavo.formats.bundles import inside
from tsavo.vocabulary import Unreadable

__all__ = ["read_requirements", "requirement_lines"]

_MAX_BYTES: Final = 1 << 20
_HASH: Final = "--hash="


def read_requirements(folder: Path, name: str, *, depth: int = 0) -> tuple[str, ...]:
    """The lines of a requirements file in `folder`, and of those that it includes with ``-r``.

    Other options stay as they are: who makes an environment of them refuses them by name.

    Raises
    ------
    Unreadable, Invalid
        When a file is too large, no text, outside the folder, or includes itself.
    """
    path = inside(folder, name, "requirements")
    if path.stat().st_size > _MAX_BYTES or depth > 2:
        raise Unreadable("the requirements are too long", field="requirements", found=name)
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise Unreadable("the requirements are no text", field="requirements", found=name) from error
    lines: list[str] = []
    for line in requirement_lines(text):
        option, _, other = line.partition(" ")
        if option in {"-r", "--requirement"}:
            lines.extend(read_requirements(folder, other.strip(), depth=depth + 1))
        else:
            lines.append(line)
    return tuple(dict.fromkeys(lines))


def requirement_lines(text: str) -> list[str]:
    r"""The requirements in a file's text, without comments, continuations and hashes.

    The hashes are left out because a lock of our own, with hashes of its own, is made from the rest.

    >>> requirement_lines("six==1.17.0 \\\n    --hash=sha256:00  # via x\n# no\nnumpy ; python_version > '3'\n")
    ['six==1.17.0', "numpy ; python_version > '3'"]
    """
    lines = []
    for line in text.replace("\\\n", " ").splitlines():
        plain = line.partition(" #")[0].strip()
        if plain and not plain.startswith("#"):
            lines.append(" ".join(word for word in plain.split() if not word.startswith(_HASH)))
    return lines
