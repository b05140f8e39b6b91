"""Tells a model file's format from its first bytes, without reading anything into objects."""

from __future__ import annotations

from typing import Final

from tsavo.vocabulary import SourceFormat, Unreadable, Untrusted

__all__ = ["CODE_CARRYING", "check_trust", "sniff"]

CODE_CARRYING: Final[frozenset[SourceFormat]] = frozenset({"pickle", "joblib", "cloudpickle", "python"})
"""Formats that run code of the file's author when they are loaded."""

_COMPRESSED: Final = (
    b"\x1f\x8b",  # gzip
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x5d\x00\x00",  # lzma alone
    b"\x04\x22\x4d\x18",  # lz4
    b"ZF",  # joblib before 0.10
)
# Fields of onnx.ModelProto that may follow ir_version, as (field number << 3 | wire type).
_ONNX_TAGS: Final = frozenset({0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA})

# The file that a bundle begins with (`tsavo.client.bundles` puts it there) -> what the bundle is.
_BUNDLES: Final[dict[bytes, SourceFormat]] = {b"MLmodel": "mlflow", b"tsavo-python.json": "python"}


def sniff(head: bytes) -> SourceFormat:
    r"""The format of a model file.

    Parameters
    ----------
    head
        The first bytes of the file; 4 KiB are plenty.

    Raises
    ------
    Unreadable
        When it is none of the formats that Tsavo reads.

    Examples
    --------
    >>> sniff(b"PK\x03\x04" + bytes(26) + b"schema.json")
    'skops'
    >>> sniff(b"\x80\x04\x95")
    'pickle'
    """
    if (bundle := _BUNDLES.get(_first_name(head))) is not None:
        return bundle
    if head[:4] == b"PK\x03\x04" and not _is_torch(head):
        return "skops"
    if len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return _pickle_flavour(head)
    if head.startswith(_COMPRESSED) or _is_zlib(head):
        return "joblib"
    if _is_onnx(head):
        return "onnx"
    raise Unreadable(
        "not a model file we know" if head else "the model file is empty",
        field="source",
        found=head[:16],
        expected="a skops, ONNX, pickle, joblib or cloudpickle file",
        next_step="save a scikit-learn model with 'skops.io.dump(model, path)', or export it to ONNX",
    )


def check_trust(source_format: SourceFormat, *, trusted: bool) -> None:
    """Raise `Untrusted` when the format can carry code and nobody vouched for the file."""
    if source_format in CODE_CARRYING and not trusted:
        raise Untrusted(
            f"a {source_format} file runs code of its author when it is loaded, and nobody has vouched for this one",
            field="source",
            found=source_format,
            expected="a format without code (skops, ONNX), or a person who trusts the file",
            next_step="save the model with 'skops.io.dump(model, path)', or register it with --trust",
        )


def _first_name(head: bytes) -> bytes:
    """The name of the first file in a zip, from its local header; empty when it is no zip."""
    return head[30 : 30 + int.from_bytes(head[26:28], "little")] if head[:4] == b"PK\x03\x04" else b""


def _pickle_flavour(head: bytes) -> SourceFormat:
    if b"cloudpickle" in head:
        return "cloudpickle"
    return "joblib" if b"joblib.numpy_pickle" in head else "pickle"


def _is_zlib(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x78 and (head[0] << 8 | head[1]) % 31 == 0


def _is_torch(head: bytes) -> bool:
    return b"data.pkl" in head[30:300] or b".data/version" in head[30:300]


def _is_onnx(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x08 and 1 <= head[1] <= 64 and head[2] in _ONNX_TAGS
