"""What every command that asks a server has in common: where it is, and how to print."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

if TYPE_CHECKING:
    from tsavo.client import Client

__all__ = ["Common", "Flag", "Options", "OutputPath", "TablePath"]


@dataclass(frozen=True)
class Options:
    """Options of every command.

    Parameters
    ----------
    home
        The home whose running Tsavo is asked (default: TSAVO_HOME, else the platform's data folder).
    url
        The console's address, instead of a home (default: TSAVO_URL).
    json
        Print one JSON document.
    """

    home: Path | None = None
    url: str | None = None
    json: Annotated[bool, Parameter(negative="")] = False

    @contextmanager
    def connected(self) -> Iterator[Client]:
        """A client of the server that the options name."""
        from tsavo.client import NotFollowing, connect

        with connect(self.url, home=self.home) as client, warnings.catch_warnings():
            warnings.simplefilter("always", NotFollowing)
            warnings.showwarning = _say  # type: ignore[assignment]
            yield client

    def progress(self) -> Callable[[str], None] | None:
        """Where to tell how long work goes on: standard error, when somebody looks at it."""
        if self.json or not sys.stderr.isatty():
            return None
        return lambda line: print(f"  {line}", file=sys.stderr, flush=True)


def _say(message: Warning | str, *_where: object) -> None:
    """A warning as a person reads it, beside what the command prints."""
    print(f"note: {message}", file=sys.stderr)


Common = Annotated[Options, Parameter(name="*")]


def _only_a_dash(_kind: object, value: str) -> None:
    if value.startswith("-") and value != "-":
        raise ValueError(f"there is no option {value}; a file of this name is ./{value}")


Flag: TypeAlias = Annotated[bool, Parameter(negative="")]
TablePath: TypeAlias = Annotated[str, Parameter(allow_leading_hyphen=True, validator=_only_a_dash)]
"""A file to read, or ``-`` for standard input."""
OutputPath: TypeAlias = Annotated[
    str, Parameter(name=["--output", "-o"], allow_leading_hyphen=True, validator=_only_a_dash)
]
"""A file to write, or ``-`` for standard output."""
