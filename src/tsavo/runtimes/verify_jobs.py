"""What goes into the worker process that verifies versions, and what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from tsavo.runtimes.jobs import AskedVersion, ErrorParts
from tsavo.vocabulary import Verdict

__all__ = ["Found", "Side", "VerifyAnswer", "VerifyItem", "VerifyJob"]

Side: TypeAlias = Literal["prediction", "expected"]
"""The stored answers of the runtime that serves, or those of the original."""


class VerifyItem(AskedVersion, frozen=True):
    """One version to be asked again.

    Attributes
    ----------
    golden
        The golden rows, as `vocabulary.Golden` describes.
    against
        The stored answers that count.
    """

    golden: Path
    against: Side = "prediction"


class VerifyJob(msgspec.Struct, frozen=True, tag="verify"):
    """Versions to be asked again.

    Attributes
    ----------
    remote
        File descriptor of a socket to a Python worker that holds the only item's model in an environment of its own.
    """

    items: tuple[VerifyItem, ...]
    remote: int | None = None


class Found(msgspec.Struct, frozen=True):
    """What became of one item; the fields are those of `vocabulary.Verification`."""

    verdict: Verdict
    summary: str
    rows: int = 0
    differing: int = 0
    changed: int = 0
    worst: dict[str, float | None] = {}
    first: tuple[dict[str, Any], ...] = ()


class VerifyAnswer(msgspec.Struct, frozen=True):
    """What the worker writes into its job folder: one `Found` an item, in order."""

    found: tuple[Found, ...] = ()
    libraries: dict[str, str] = {}
    python: str = ""
    error: ErrorParts | None = None
