"""Names people give to things, and how a version is written.

Names reach file systems, SQL and URLs, so one strict shape holds everywhere: ``[a-z0-9][a-z0-9._-]{0,99}``.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tsavo.vocabulary.errors import Invalid

__all__ = ["NAME_PATTERN", "VersionRef", "check_name"]

NAME_PATTERN: Final = r"[a-z0-9][a-z0-9._-]{0,99}"
_NAME: Final = re.compile(NAME_PATTERN)


def check_name(name: str, what: str = "name") -> str:
    """Return `name` when it is well-formed, or raise `Invalid` naming the field `what`.

    >>> check_name("credit-risk")
    'credit-risk'
    >>> check_name("../etc")
    Traceback (most recent call last):
    tsavo.vocabulary.errors.Invalid: not a valid name (field: name; found: '../etc'; expected: ...
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Invalid(
            "not a valid name",
            field=what,
            found=name,
            expected="1 to 100 lower-case letters, digits, '.', '_' or '-', starting with a letter or digit",
        )
    return name


class VersionRef(msgspec.Struct, frozen=True, order=True):
    """One version of a model, written ``model@number``.

    >>> str(VersionRef("credit-risk", 3))
    'credit-risk@3'
    >>> VersionRef.parse("credit-risk@3").number
    3
    """

    model: str
    number: int

    def __str__(self) -> str:
        return f"{self.model}@{self.number}"

    @classmethod
    def parse(cls, text: str) -> VersionRef:
        """Read ``model@number``; raise `Invalid` when it is not that."""
        model, at, number = text.partition("@")
        if not at or not number.isascii() or not number.isdigit() or not 0 < int(number[:10]) < 2**31:
            raise Invalid(
                "not a version", field="version", found=text, expected="model@number, as in credit-risk@3"
            )
        return cls(check_name(model, "model"), int(number))
