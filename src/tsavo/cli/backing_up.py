"""``backup`` and ``restore``: a copy of a home, and a home of a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import as_text, print_json
from tsavo.vocabulary import Invalid

__all__ = ["backup", "restore"]


def backup(
    folder: Path,
    /,
    *,
    keep: int | None = None,
    fast: Flag = False,
    options: Common = Options(),
) -> int:
    """Copy a home while everything runs; what an earlier backup in the folder has is not copied again.

    Parameters
    ----------
    folder
        The folder of backups, best on another disk. It holds all that the home holds, keys included.
    keep
        So many backups stay in the folder, the oldest go. By default all stay.
    fast
        Believe the size of what earlier backups copied. Without it that is read again, and copied anew when it is not
        what it was.
    """
    from tsavo.app.backups import back_up
    from tsavo.app.settings import load_settings
    from tsavo.storage import Home, SystemClock

    _check_local(options)
    if keep is not None and keep < 1:
        raise Invalid("not a number of backups", field="keep", found=keep, expected="1 or more")
    home = Home(options.home)
    done = back_up(
        home,
        load_settings(home),
        folder.expanduser().absolute(),
        now=SystemClock().now(),
        keep=keep,
        verify=not fast,
        tell=options.progress(),
    )
    if options.json:
        print_json(done)
        return 0
    new = f"{done.new_files:,} of them new ({_size(done.new_bytes)})"
    print(f"backup {done.id}: {done.files:,} files, {_size(done.bytes)}; {new}")
    for note in done.notes:
        print(f"  {as_text(note)}")
    return 0


def restore(
    folder: Path,
    /,
    *,
    home: Annotated[Path, Parameter(required=True)],
    backup: str | None = None,
    registry: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Make a new home of a backup; every file is checked, and a home that is not empty is refused.

    Parameters
    ----------
    folder
        The folder of backups.
    home
        The new home.
    backup
        Which backup; by default the newest.
    registry
        URL of an empty PostgreSQL database that takes the registry. By default the registry is a file in the home.
    json
        Print one JSON document.
    """
    from tsavo.app.backups import restore as make_home
    from tsavo.storage import Home

    done = make_home(folder.expanduser().absolute(), Home(home), backup=backup, registry=registry)
    if json:
        print_json(done)
        return 0
    print(f"{done.home}: {done.files:,} files, {_size(done.bytes)}, from backup {done.backup}")
    for note in done.notes:
        print(f"  {as_text(note)}")
    print(f"Start it with: tsavo up --home {done.home}")
    return 0


def _check_local(options: Options) -> None:
    if options.url is not None:
        raise Invalid(
            "a backup is made where the home is",
            field="url",
            found=options.url,
            expected="no --url",
            next_step="run the command on that machine, with --home DIR",
        )


def _size(count: int) -> str:
    return f"{count / (1 << 20):,.1f} MiB"
