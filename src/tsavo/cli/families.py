"""``family``: an endpoint with a version for each value of a column."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import App, Parameter

from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import as_text, print_json, print_table
from tsavo.vocabulary import Invalid, Member

if TYPE_CHECKING:
    from tsavo.client import MembersChanged

__all__ = ["family"]

_PIPE: Final = "-"
_SHOWN: Final = 50
_COLUMNS: Final = ("segment", "version")
_FILE = Annotated[str | None, Parameter(allow_leading_hyphen=True)]

family = App(
    name="family",
    help="An endpoint with a version for each value of a column: make it one, give segments their versions.",
    help_format="plaintext",
)


@family.command
def make(
    endpoint: str,
    /,
    *,
    key: str,
    dtype: Literal["string", "int64"] | None = None,
    unseen: Literal["parent", "refuse"] = "parent",
    why: str = "",
    options: Common = Options(),
) -> int:
    """Make an endpoint a family: its champion becomes the parent of the versions that a column chooses among.

    Parameters
    ----------
    endpoint
        The endpoint.
    key
        The column that chooses: an input of the champion, or one that callers send beside the inputs.
    dtype
        Of a column beside the inputs.
    unseen
        Rows of a segment without a version: the parent answers, or they are refused.
    why
        Kept in the audit trail.
    """
    with options.connected() as client:
        route = client.family(endpoint).make(key, dtype=dtype, unseen=unseen, why=why)
    if options.json:
        print_json(route)
    elif route.segments is not None:
        others = (
            f"{route.champion} answers for all others"
            if unseen == "parent"
            else "rows of all others are refused"
        )
        print(f"{endpoint} is a family by '{as_text(key)}' ({route.segments.dtype}); {others}")
        print(f"Next: tsavo family set {endpoint} SEGMENT=MODEL@N ...")
    return 0


@family.command(name="set")
def set_versions(
    endpoint: str,
    /,
    *versions: str,
    file: _FILE = None,
    why: str = "",
    options: Common = Options(),
) -> int:
    """Give segments their versions, all of them or none.

    Parameters
    ----------
    endpoint
        The family.
    versions
        SEGMENT=MODEL@N; SEGMENT=MODEL for the model's newest version.
    file
        A CSV, Parquet or JSON file with the columns segment and version; '-' reads CSV from standard input.
    why
        Kept in the audit trail.
    """
    given = dict(_pair(text) for text in versions)
    if file is not None:
        given |= _read(file)
    if not given:
        raise Invalid(
            "no segment is named",
            field="versions",
            expected="SEGMENT=MODEL@N, or --file with the columns segment and version",
        )
    with options.connected() as client:
        changed = client.family(endpoint).set(given, why=why)
    _tell(endpoint, changed, options)
    return 0


@family.command
def ls(
    endpoint: str,
    /,
    *,
    search: str = "",
    all: Flag = False,
    options: Common = Options(),
) -> int:
    """List the members of a family.

    Parameters
    ----------
    endpoint
        The family.
    search
        Only segments that contain this.
    all
        All of them; without it the first 50 are shown. --json always has all.
    """
    with options.connected() as client:
        handle = client.family(endpoint)
        info = handle.info
        shown = None if all or options.json else _SHOWN
        members = list(islice(handle.members(search), shown))
    if options.json:
        print_json(members)
        return 0
    print(f"{endpoint}: a family by '{as_text(info.segments['key'])}', parent {info.route.champion}")
    rows = [[one.segment, one.version, _state(one), one.changed, one.changed_by] for one in members]
    print_table(
        ("segment", "version", "state", "changed", "by"),
        rows,
        nothing="No members like that." if search else f"No members yet. Next: tsavo family set {endpoint}",
    )
    if len(members) == shown and info.members > len(members):
        print(f"The first {shown} of {info.members:,}. Next: --all, --search TEXT or --json")
    return 0


@family.command
def remove(
    endpoint: str,
    /,
    *segments: str,
    why: str = "",
    options: Common = Options(),
) -> int:
    """Take segments out of a family, all of them or none; their rows are unseen ones from then on.

    Parameters
    ----------
    endpoint
        The family.
    segments
        Which ones.
    why
        Kept in the audit trail.
    """
    with options.connected() as client:
        changed = client.family(endpoint).remove(*segments, why=why)
    _tell(endpoint, changed, options)
    return 0


@family.command
def plug(
    endpoint: str,
    segment: str,
    /,
    *,
    off: Flag = False,
    why: str = "",
    options: Common = Options(),
) -> int:
    """Pull the plug of one segment: the parent answers for it. --off puts it back.

    Parameters
    ----------
    endpoint
        The family.
    segment
        Which one.
    off
        Put the plug back: the segment's version answers again.
    why
        Kept in the audit trail.
    """
    with options.connected() as client:
        handle = client.family(endpoint)
        member = handle.unplug(segment, why) if off else handle.plug(segment, why)
    if options.json:
        print_json(member)
    else:
        answers = f"{member.version} answers" if member.plug is None else "PLUG PULLED, the parent answers"
        print(f"{endpoint}, {as_text(segment)}: {answers}")
    return 0


def _state(member: Member) -> str:
    return "serving" if member.plug is None else f"plug pulled by {member.plug.by}"


def _tell(endpoint: str, changed: MembersChanged, options: Options) -> None:
    if options.json:
        print_json(changed)
    else:
        print(f"{endpoint}: {changed.changed:,} changed, {changed.members:,} members")


def _pair(text: str) -> tuple[str, str]:
    segment, equals, version = text.rpartition("=")
    if not equals:
        raise Invalid("not a member", field="versions", found=text, expected="SEGMENT=MODEL@N")
    return segment, version


def _read(file: str) -> dict[str, str]:
    from tsavo.client.tables import read_table

    content = sys.stdin.buffer.read() if file == _PIPE else None
    kind = "csv" if file == _PIPE else None
    table = read_table(Path(file), format=kind, content=content, text=_COLUMNS)
    if not set(_COLUMNS) <= set(table.column_names):
        raise Invalid(
            "not a list of members",
            field="file",
            found=table.column_names[:10],
            expected="the columns segment and version",
        )
    found: dict[str, str] = {}
    for number, row in enumerate(table.select(_COLUMNS).to_pylist(), 1):
        segment, version = (str(row[name] or "") for name in _COLUMNS)
        if not segment or not version or segment in found:
            raise Invalid(
                "a segment is there twice" if segment in found else "a segment or a version is missing",
                field=f"file, row {number}",
                found=f"{segment},{version}",
                expected="every segment once, with its version",
            )
        found[segment] = version
    return found
