"""``register-many``: thousands of models from one list."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tsavo.cli.describing import About, Described
from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import as_text, print_json

if TYPE_CHECKING:
    from tsavo.client import BulkResult

__all__ = ["register_many"]


def register_many(
    manifest: str,
    /,
    *,
    deploy: Flag = False,
    family: str | None = None,
    about: Described = About(),
    options: Common = Options(),
) -> int:
    """Register thousands of models from a list or a folder; run it again to go on where it was.

    Parameters
    ----------
    manifest
        A CSV, Parquet or JSON-lines file with the columns source and name, and perhaps reference, target, segment,
        endpoint, owner, why; or a folder of model files.
    deploy
        Make each version the champion of its endpoint, by default one of the model's name.
    family
        Let each version answer for its segment of this family.
    """
    from tsavo.client.manifests import manifest_rows

    path = Path(manifest)
    rows = manifest_rows(path)
    told = Counter[str]()
    failed = 0
    words = about.words()
    # A tracking server holds models under addresses; a list names files.
    words.pop("tracking_uri")
    with options.connected() as client, _progress(len(rows), options) as progress:
        folder = path if path.is_dir() else path.parent
        for result in client.register_many(rows, folder=folder, deploy=deploy, family=family, **words):
            told[result.status] += 1
            failed += result.error is not None
            _tell(result, options, progress)
            progress.advance()
    if not options.json:
        print(
            f"{told['registered']:,} registered, {told['known']:,} known already, {told['failed']:,} failed"
        )
    if failed:
        sys.stderr.write(
            f"tsavo: {failed:,} of {len(rows):,} rows failed. Next: mend them and run it again\n"
        )
    return 1 if failed else 0


class _Progress(Protocol):
    """How far it is, on a terminal; nothing elsewhere."""

    def advance(self) -> None: ...

    def line(self, text: str) -> None: ...


def _tell(result: BulkResult, options: Options, progress: _Progress) -> None:
    """All rows for programs; for people those that failed."""
    if options.json:
        print_json(_as_json(result))
    elif result.error is not None:
        kept = "" if result.version is None else f" ({result.version} is kept)"
        progress.line(f"row {result.row}: {as_text(result.name)}{kept}: {as_text(str(result.error))}")


def _as_json(result: BulkResult) -> dict[str, Any]:
    told: dict[str, Any] = result._asdict()
    told["version"] = None if result.version is None else str(result.version)
    told["error"] = None if result.error is None else result.error.as_dict()
    return told


class _Silent:
    """Lines alone."""

    def advance(self) -> None:
        """Nobody looks."""

    def line(self, text: str) -> None:
        print(text, flush=True)


@contextmanager
def _progress(total: int, options: Options) -> Iterator[_Progress]:
    if options.json or not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    from rich.text import Text

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("register", total=total)

        class Bar:
            def advance(self) -> None:
                bar.advance(task)

            def line(self, text: str) -> None:
                bar.console.print(Text(text))

        yield Bar()
