"""``personal``, ``erase``, ``pseudonym`` and ``reveal``: data about people."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import print_json, print_pairs, print_table
from tsavo.vocabulary import Erasure, Invalid, Privacy

__all__ = ["erase", "personal", "pseudonym", "reveal"]

_PIPE = "-"


def personal(
    endpoint: str,
    /,
    *,
    subject: str | None = None,
    column: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    nothing: Flag = False,
    why: str = "",
    options: Common = Options(),
) -> int:
    """Say which inputs of an endpoint are personal: from now on they are recorded sealed.

    Without options, say which are.

    Parameters
    ----------
    endpoint
        The endpoint.
    subject
        The column that says whose data a row is. Without it callers say so beside the request: --subject of 'tsavo
        score', the header x-tsavo-subject.
    column
        Another column that is sealed; may be given several times.
    nothing
        Nothing is personal any more. What was sealed stays so.
    why
        Kept in the audit trail.
    """
    with options.connected() as client:
        named = client.endpoint(endpoint)
        if subject is not None or column or nothing:
            route = named.personal(subject=subject, columns=column, nothing=nothing, why=why)
        else:
            route = named.route
    if options.json:
        print_json({"endpoint": endpoint, "personal": route.privacy})
    else:
        print(f"{endpoint}: {_said(route.privacy)}")
    return 0


def _said(privacy: Privacy | None) -> str:
    if privacy is None:
        return "nothing is personal"
    whose = f"'{privacy.subject}'" if privacy.subject is not None else "the header x-tsavo-subject"
    sealed = ", ".join(sorted(privacy.columns)) or "nothing"
    return f"{whose} says whose data a row is; sealed: {sealed}"


def erase(
    *,
    subject: str | None = None,
    why: str = "",
    list: Flag = False,
    yes: Flag = False,
    wait: float = 60.0,
    options: Common = Options(),
) -> int:
    """Erase a person: what is sealed under their key is read by nobody from then on. It cannot be undone.

    Parameters
    ----------
    subject
        The key by which callers know the person; '-' reads it from standard input, where no shell keeps it.
    why
        Kept in the audit trail; must not name the person.
    list
        Instead, list erasures.
    yes
        Do not ask.
    wait
        How many seconds to wait for the keeper to see to backups and to rows in plain text.
    """
    with options.connected() as client:
        if list:
            page = client.erasures()
            if options.json:
                print_json(page)
            else:
                print_table(
                    ("time", "pseudonym", "by", "why", "keys", "rows", "state"),
                    [
                        (
                            f"{one.time:%Y-%m-%d %H:%M}",
                            one.subject,
                            one.by,
                            one.why,
                            one.keys,
                            one.rows,
                            "pending" if one.pending else "complete",
                        )
                        for one in page.items
                    ],
                    nothing="Nobody was erased.",
                )
            return 0
        if not subject:
            raise Invalid("erase whom?", field="subject", expected="--subject KEY, or --list")
        key = sys.stdin.readline().strip() if subject == _PIPE else subject
        if not yes and sys.stdin.isatty() and subject != _PIPE:
            print("What is sealed for this person is lost for ever. Erase? [y/N] ", end="", flush=True)
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                print("Nothing was erased.")
                return 1
        done = client.erase(key, why, wait_seconds=wait)
    if options.json:
        print_json(done)
    else:
        _tell(done)
    return 1 if done.found else 0


def _tell(done: Erasure) -> None:
    print_pairs(
        [
            ("pseudonym", done.subject),
            ("keys destroyed", done.keys),
            ("rows in plain text deleted", done.rows),
            ("waiting outcomes deleted", done.waiting),
            ("rows of training data deleted", done.samples),
            *((f"backups in {folder}", f"{count} keys destroyed") for folder, count in done.backups.items()),
            *(("not reached", folder) for folder in done.unreached),
        ]
    )
    if done.unreached:
        print("Backups that were not reached are seen to by the next 'tsavo backup' into their folder.")
    if done.found:
        print("\nThe person's key still stands in plain text:")
        print_pairs([(f"  {where}", what) for where, what in done.found.items()])


def pseudonym(subject: str, /, *, options: Common = Options()) -> int:
    """The name under which a person's decisions are found in SQL: the column pseudonym of decisions.

    Parameters
    ----------
    subject
        The key by which callers know the person; '-' reads it from standard input.
    """
    key = sys.stdin.readline().strip() if subject == _PIPE else subject
    with options.connected() as client:
        found = client.pseudonym(key)
    if options.json:
        print_json({"pseudonym": found})
    else:
        print(found)
    return 0


def reveal(decision_id: str, /, *, why: str = "", options: Common = Options()) -> int:
    """Show the personal values of a decision. Who looked and why is in the audit trail before.

    Parameters
    ----------
    decision_id
        As it came with the answer.
    why
        Kept in the audit trail; must be given.
    """
    with options.connected() as client:
        found = client.reveal(decision_id, why)
    if options.json:
        print_json(found)
    elif found.erased is not None or not found.values:
        when = "" if found.erased is None else f" on {found.erased:%Y-%m-%d %H:%M}"
        print(f"erased{when}: nobody can read it")
    else:
        print_pairs([(name, "(missing)" if value is None else value) for name, value in found.values.items()])
    return 0
