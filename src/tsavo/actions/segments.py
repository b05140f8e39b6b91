"""What may be a segment of a family, and which versions may answer for one."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final, Literal

from tsavo.registry import get_version, member_versions, signatures_of
from tsavo.storage import Connection
from tsavo.vocabulary import Invalid, NotFound, Refused, Segments, Signature, VersionRef, misfits

__all__ = ["check_fit", "check_members", "check_segment", "key_dtype"]

_LONGEST: Final = 200
# Control characters, halves of a character, and what breaks lines: none can be typed again from a list.
_NO_TEXT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_WHOLE: Final = ("int64", "int32")


def key_dtype(
    signature: Signature, key: str, said: Literal["string", "int64"] | None
) -> Literal["string", "int64"]:
    """The type of the column that chooses; what is `said` must be what an input of this name has."""
    if not key or len(key) > _LONGEST or not key.isprintable():
        raise Invalid(
            "not a column's name", field="key", found=key, expected=f"1 to {_LONGEST} printable characters"
        )
    field = next((field for field in signature.inputs if field.name == key), None)
    if field is None:
        return said or "string"
    if field.dtype != "string" and field.dtype not in _WHOLE:
        raise Invalid(
            f"segments cannot be told apart by '{key}', which is {field.dtype}",
            field="key",
            found=key,
            expected="a column of text or of whole numbers",
        )
    own: Literal["string", "int64"] = "string" if field.dtype == "string" else "int64"
    if said is not None and said != own:
        raise Invalid("not the column's type", field="dtype", found=said, expected=f"{own}, as '{key}' is")
    return own


def check_segment(segments: Segments, segment: str) -> None:
    """Raise `Invalid` unless the key's column can have this value.

    >>> check_segment(Segments("store", "int64"), "17")
    >>> check_segment(Segments("store", "int64"), "017")
    Traceback (most recent call last):
    tsavo.vocabulary.errors.Invalid: not a whole number as 'store' has them (field: segments.017; found: '017'; ...
    """
    if not 0 < len(segment) <= _LONGEST or any(unicodedata.category(one) in _NO_TEXT for one in segment):
        raise Invalid(
            "not a segment",
            field=f"segments.{segment[:50]}" if segment.isprintable() else "segments",
            found=segment,
            expected=f"1 to {_LONGEST} characters, no control characters",
        )
    if segments.dtype == "int64" and not _is_whole(segment):
        raise Invalid(
            f"not a whole number as '{segments.key}' has them",
            field=f"segments.{segment[:50]}",
            found=segment,
            expected="decimal digits without leading zeros, perhaps behind a minus; at most 64 bits",
        )


def _is_whole(text: str) -> bool:
    # The longest have 20 characters; longer ones need not be read.
    digits = text.removeprefix("-")
    if len(digits) > 19 or not digits.isascii() or not digits.isdigit():
        return False
    return str(int(text)) == text and -(2**63) <= int(text) < 2**63


def check_fit(connection: Connection, parent: VersionRef, versions: Mapping[str, VersionRef]) -> None:
    """Raise unless every version exists and can answer what callers of `parent` send.

    Raises
    ------
    NotFound, Refused
        Naming the first segment at fault.
    """
    spoken = get_version(connection, parent).signature
    known = signatures_of(connection, set(versions.values()))
    # One signature may belong to thousands of versions.
    judged: dict[int, list[str]] = {}
    for segment, version in versions.items():
        signature = known.get(version)
        if signature is None:
            raise NotFound(
                f"there is no version {version} for segment '{segment}'",
                field=f"segments.{segment}",
                found=str(version),
                next_step=f"see its versions with 'tsavo show {version.model}'; nothing was changed",
            )
        if id(signature) not in judged:
            judged[id(signature)] = misfits(spoken, signature)
        reasons = judged[id(signature)]
        if reasons:
            raise Refused(
                f"{version} cannot answer for segment '{segment}': {'; '.join(reasons[:5])}",
                field=f"segments.{segment}",
                found=str(version),
                expected=f"the signature of {parent}",
                next_step="register a version with these inputs and outputs; nothing was changed",
                details=reasons,
            )


def check_members(connection: Connection, endpoint: str, parent: VersionRef) -> None:
    """Raise unless the members of `endpoint` can answer what callers of `parent`, its next champion, send."""
    versions = member_versions(connection, endpoint)
    if versions:
        check_fit(connection, parent, {segment: version for version, segment in versions.items()})
