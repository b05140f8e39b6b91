"""What goes into the worker process that scores recorded requests again, and what comes back."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tsavo.runtimes.jobs import AskedVersion, ErrorParts
from tsavo.vocabulary import Tensor

__all__ = ["BATCHES", "OUTPUTS", "ScoreAnswer", "ScoreItem", "ScoreJob", "outputs_file"]

BATCHES = msgspec.msgpack.Decoder(list[tuple[Tensor, ...]])
"""Reads the batches of an item: of each its matrix, or its columns."""

OUTPUTS = msgspec.msgpack.Decoder(list[tuple[Tensor, ...] | str])
"""Reads the answers to them: of each its outputs in signature order, or why there are none."""


class ScoreItem(AskedVersion, frozen=True):
    """One version, and what it is asked.

    Attributes
    ----------
    batches
        A file that `BATCHES` reads.
    """

    batches: Path


class ScoreJob(msgspec.Struct, frozen=True, tag="score"):
    """Versions to be asked.

    Attributes
    ----------
    remote
        File descriptor of a socket to a Python worker that holds the only item's model.
    """

    items: tuple[ScoreItem, ...]
    remote: int | None = None


class ScoreAnswer(msgspec.Struct, frozen=True):
    """What the worker writes into its job folder, beside a file of outputs for each item.

    Attributes
    ----------
    failures
        Of each item, why its model could not be loaded; empty when it could.
    """

    failures: tuple[str, ...] = ()
    error: ErrorParts | None = None


def outputs_file(place: int) -> str:
    """The name of the file of outputs of the item at this place."""
    return f"outputs-{place}.msgpack"
