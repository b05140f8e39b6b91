"""Tells a model file's format from its bytes, without reading anything into objects.

The first bytes say it for most formats; for zips it is the names in their directory (`archives`). The file's own name
is a tie breaker at the most, for it is what somebody from outside typed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tsavo.formats.archives import first_names, names_in
from tsavo.vocabulary import SourceFormat, Unreadable, Untrusted

__all__ = ["CODE_CARRYING", "HEAD_BYTES", "check_trust", "sniff", "sniff_file"]

CODE_CARRYING: Final[frozenset[SourceFormat]] = frozenset(
    # An exported PyTorch program holds expressions that are evaluated and pickles of its example inputs.
    {"pickle", "joblib", "cloudpickle", "torchscript", "torch-export", "python"}
)
"""Formats that run code of the file's author when they are loaded, or can be made to."""

HEAD_BYTES: Final = 8192
"""How much of a file `sniff` wants to see."""

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
# Before zip files torch.save began with the pickle of this number.
_OLD_TORCH: Final = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
_XML: Final = re.compile(
    rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE[^>\[]*(\[.*?\])?\s*>\s*)?", re.DOTALL
)
_PMML: Final = re.compile(rb"<(\w+:)?PMML[\s>]")
_SCORECARD: Final = re.compile(rb" *characteristic *, *low *, *high *, *values *, *points *", re.IGNORECASE)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def sniff(head: bytes, name: str = "") -> SourceFormat:
    r"""The format of a model file by its beginning; of a zip, use `sniff_file` to be sure.

    Parameters
    ----------
    head
        The first bytes of the file; `HEAD_BYTES` are plenty.
    name
        The file's name, for formats that are text without a mark of their own.

    Raises
    ------
    Unreadable
        When it is none of the formats that Tsavo reads.

    Examples
    --------
    >>> sniff(b"PK\x03\x04" + bytes(22) + b"\x0b\0\0\0schema.json")
    'skops'
    >>> sniff(b"\x80\x04\x95")
    'pickle'
    >>> sniff(b"tree\nversion=v4\n")
    'lightgbm'
    """
    if head[:4] == b"PK\x03\x04":
        return _zip_kind(first_names(head), whole=False)
    if head.startswith(_OLD_TORCH):
        raise _torch_pickle()
    if len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return _pickle_flavour(head)
    if head.startswith(_COMPRESSED) or _is_zlib(head):
        return "joblib"
    if head.startswith(b"CBM1"):
        return "catboost"
    # UBJSON: an object whose first key has its length in 64 bits.
    if head.startswith(b"{L\x00\x00\x00\x00"):
        return "xgboost"
    if _is_onnx(head):
        return "onnx"
    text = head.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if text.startswith((b"tree\nversion=", b"tree\r\nversion=")):
        return "lightgbm"
    return _text_kind(head, text, name)


def sniff_file(path: Path, name: str | None = None) -> SourceFormat:
    """The format of a model file; of a zip only the directory is read, and no more than a model needs.

    Parameters
    ----------
    name
        What its sender called it; else its own name.

    Raises
    ------
    Unreadable
        When it is none of the formats that Tsavo reads.
    TooLarge
        When it is a zip with more entries than a model has.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if head[:4] == b"PK\x03\x04":
            return _zip_kind(names_in(file), whole=True)
    return sniff(head, path.name if name is None else name)


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


def _zip_kind(names: list[str], *, whole: bool) -> SourceFormat:
    """What a zip holds, by the names of its files; of a beginning not all of them are known."""
    known = set(names)
    if "tsavo-python.json" in known:
        return "python"
    if "MLmodel" in known:
        return "mlflow"
    if "schema.json" in known:
        return "skops"
    inner = {name.partition("/")[2] for name in names}
    # PyTorch puts everything below one folder, which is called as the file was.
    if (
        "archive_format" in inner
        or "models/model.json" in inner
        or "serialized_exported_program.json" in known
    ):
        return "torch-export"
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return "torchscript"
    if any(name.startswith("data/weights/") for name in inner):
        return "torch-export"
    if "data.pkl" in inner:
        raise _torch_pickle()
    if "MLmodel" in inner:
        raise _unknown(
            "an MLflow folder inside another folder", "register the folder itself, or pack what is in it"
        )
    if names and all(name.endswith(".npy") for name in names) and whole:
        raise _unknown(
            "arrays of numpy (.npz), which are data and no model", "save the model itself, not its numbers"
        )
    if whole:
        raise _unknown(f"a zip of {len(names)} files: {', '.join(sorted(names)[:5])}"[:200])
    return "torchscript" if any(name.startswith("data/") for name in inner) else "skops"


def _text_kind(head: bytes, text: bytes, name: str) -> SourceFormat:
    marked = _XML.match(text)
    if text.startswith(b"<") and marked is not None and _PMML.match(text, marked.end()):
        return "pmml"
    if text.startswith(b"{"):
        if b'"learner"' in text:
            return "xgboost"
        if b'"features_info"' in text:
            raise _unknown("a CatBoost model as JSON", "save it as .cbm, which is CatBoost's default")
    first = text.partition(b"\n")[0].rstrip(b"\r")
    if _SCORECARD.fullmatch(first) and _is_text(head):
        return "scorecard"
    raise _unknown(head[:16] if head else "an empty file")


def _is_text(head: bytes) -> bool:
    # The last character may be cut in two.
    return b"\x00" not in head and len(head.decode(errors="ignore").encode()) >= len(head) - 3


def _torch_pickle() -> Unreadable:
    return _unknown(
        "a PyTorch pickle (torch.save)",
        "export the module: torch.export.save(torch.export.export(module, example), 'model.pt2')",
    )


def _unknown(found: object, next_step: str | None = None) -> Unreadable:
    return Unreadable(
        "not a model file we know",
        field="source",
        found=found,
        expected="a skops, ONNX, XGBoost, LightGBM, CatBoost, PyTorch export, PMML, scorecard, pickle, joblib or "
        "cloudpickle file, or an MLflow folder",
        next_step=next_step
        or "save a scikit-learn model with 'skops.io.dump(model, path)', or export it to ONNX",
    )


def _pickle_flavour(head: bytes) -> SourceFormat:
    if b"cloudpickle" in head:
        return "cloudpickle"
    return "joblib" if b"joblib.numpy_pickle" in head else "pickle"


def _is_zlib(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x78 and (head[0] << 8 | head[1]) % 31 == 0


def _is_onnx(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x08 and 1 <= head[1] <= 64 and head[2] in _ONNX_TAGS
