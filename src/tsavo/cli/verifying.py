"""``verify`` and ``eject``: versions as they are kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import as_text, print_json
from tsavo.vocabulary import Invalid, Verdict, Verification

if TYPE_CHECKING:
    from tsavo.client import Client

__all__ = ["eject", "verify"]

_Libraries = Annotated[list[str] | None, Parameter(name="--with", negative="", consume_multiple=False)]
_Folder = Annotated[Path, Parameter(name=["--output", "-o"])]

_WORDS: Final[dict[Verdict, str]] = {
    "same": "same",
    "within-tolerance": "within tolerance",
    "changed": "CHANGED",
    "breaks": "BREAKS",
    "no-rows": "no rows",
}


def verify(
    name: str | None = None,
    /,
    *,
    all: Flag = False,
    libraries: _Libraries = None,
    after: str | None = None,
    options: Common = Options(),
) -> int:
    """See whether versions still answer as they did when they were registered. Ends with 1 when one does not.

    Its golden rows are answered again by what serves it now, and compared with the stored answers.

    Parameters
    ----------
    name
        MODEL@N, or MODEL for all its versions.
    all
        All versions of all models.
    libraries
        Try other libraries, such as 'scikit-learn==1.7.2': the original model is asked in a scratch environment that
        has these. May be given several times.
    after
        With MODEL or --all: go on after this version (MODEL@N), as an interrupted run says.
    """
    if (name is None) != all:
        raise Invalid(
            "verify what?", field="name", found=name, expected="MODEL@N, MODEL, or --all", next_step=None
        )
    with options.connected() as client:
        if name is not None and "@" in name:
            found = client.verify(name, requirements=libraries or ())
            if options.json:
                print_json(found)
            else:
                _tell(found)
            return 0 if found.fine else 1
        return _verify_many(client, name, libraries or [], after, options)


def _verify_many(
    client: Client, model: str | None, libraries: list[str], after: str | None, options: Options
) -> int:
    """Verify page by page, and tell while they come: there may be ten thousand."""
    found: list[Verification] = []
    counts: dict[str, int] = {}
    last = after
    try:
        for page in client.verify_all(model, requirements=libraries, after=after):
            for one in page.items:
                counts[one.verdict] = counts.get(one.verdict, 0) + 1
                if options.json:
                    found.append(one)
                else:
                    _tell(one)
            last = str(page.items[-1].version) if page.items else last
            _tell_progress(page.done, page.total)
    except BaseException:
        if last is not None and not options.json:
            print(f"\nInterrupted. Go on with --after {last}", file=sys.stderr)
        raise
    if options.json:
        print_json({"counts": counts, "verifications": found})
    else:
        told = ", ".join(f"{count} {_WORDS[verdict]}" for verdict, count in counts.items())  # type: ignore[index]
        print(f"{sum(counts.values())} versions: {told}" if counts else "No versions.")
    return 1 if counts.get("changed") or counts.get("breaks") else 0


def _tell_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:,} of {total:,}\r", end="", file=sys.stderr, flush=True)


def _tell(found: Verification) -> None:
    print(f"{_WORDS[found.verdict]:<16}  {found.version}  {as_text(found.summary)}")
    for row in found.first:
        told = ", ".join(f"{part}: {as_text(row.get(part))}" for part in ("stored", "now", "inputs"))
        print(f"  row {row.get('row')}: {told}")


def eject(
    version: str,
    /,
    *,
    output: _Folder,
    force: Flag = False,
    options: Common = Options(),
) -> int:
    """Write a version as an MLflow model folder, which runs where Tsavo is not installed.

    Parameters
    ----------
    version
        MODEL@N.
    output
        A new or an empty folder.
    force
        Write over files of the same names in a folder that is not empty.
    """
    with options.connected() as client:
        folder = client.eject(version, output, force=force)
    if options.json:
        print_json({"version": version, "folder": str(folder)})
    else:
        print(f"{version} is in {as_text(str(folder))}")
        print(f"Next: see {as_text(str(folder / 'README.md'))}")
    return 0
