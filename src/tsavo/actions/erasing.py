"""Erasing a data subject: keys at once, and what else there is of the subject soon after, by the keeper.

Every step may be done again: a crash at any point leaves an erasure that is pending, and whoever goes on repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.copies import copies_of
from tsavo.actions.privacy import keys_of_plane
from tsavo.actions.redacting import redact_training_data
from tsavo.governance import Principal, Right, audit, require
from tsavo.lake import Lake
from tsavo.registry import (
    change_erasure,
    drop_waiting,
    endpoints_waiting,
    find_route,
    items_of,
    list_routes,
    next_waiting,
    pending_erasures,
    save_erasure,
)
from tsavo.storage import IdSource
from tsavo.vocabulary import Conflict, Erasure, Invalid, WaitingOutcome, subject_text

__all__ = ["PSEUDONYM", "BackupsErased", "erase_subject", "finish_erasures"]

_PAGE: Final = 1_000
_PIECE: Final = 5_000
PSEUDONYM: Final = "pseudonym"
"""The business key by which outcomes of sealed subjects wait for their decisions."""


class BackupsErased(NamedTuple):
    """Backups that were seen to: folder -> copies of keys destroyed there; and folders that were not there."""

    destroyed: dict[str, int]
    unreached: tuple[str, ...]
    found: dict[str, str]


def erase_subject(
    plane: ControlPlane, lake: Lake, who: Principal, subject: Any, *, why: str, folders: Iterable[Path] = ()
) -> Erasure:
    """Destroy every key of a data subject: from now on nobody reads what they sealed.

    The keeper then sees to backups and to rows in plain text; the erasure is pending until it has.

    Parameters
    ----------
    folders
        Where people's own files lie, which are looked through for the subject's key.

    Raises
    ------
    Invalid
        It can be nobody's key, or no reason is given.
    """
    require(who, Right.PRIVACY)
    text = subject_text(subject)
    if not why.strip():
        raise Invalid(
            "a person is erased for a reason only: it cannot be undone",
            field="why",
            expected="a sentence, which stays in the audit trail; without the person's name",
            next_step="say it with --why",
        )
    if text in why:
        raise Invalid(
            "the reason names the subject, and stays in the audit trail",
            field="why",
            expected="a sentence without the subject's key",
        )
    keys = keys_of_plane(plane)
    pseudonym = keys.pseudonym(text)
    now = plane.clock.now()
    erasure = Erasure(IdSource(plane.clock).new(), pseudonym, now, who.name, why, pending=True)
    with plane.database.begin() as connection:
        save_erasure(connection, erasure)
        audit(
            connection,
            time=now,
            who=who.name,
            action="subject.erase",
            subject=f"subject:{pseudonym}",
            why=why,
            after={"erasure": erasure.id},
        )
    destroyed = _destroy(plane, lake, pseudonym)
    found = copies_of(plane, text, folders)
    with plane.database.begin() as connection:
        return change_erasure(
            connection,
            erasure.id,
            lambda known: msgspec.structs.replace(
                known, keys=max(known.keys, len(destroyed)), found={**known.found, **found}
            ),
        )


def finish_erasures(
    plane: ControlPlane,
    lake: Lake,
    *,
    ship: Callable[[], None],
    backups: Callable[[str, Sequence[bytes], Sequence[str]], BackupsErased],
    scrub: Callable[[], None],
) -> list[Erasure]:
    """Do what is left of erasures, and return those that are complete now. For the keeper.

    Parameters
    ----------
    ship
        Moves all that is in the journals to the lake.
    backups
        Destroys the keys of a pseudonym, by their ids too, in every backup that can be reached; and tells which
        backups hold files that have left the home: of the lake by their places there, artifacts by their digests.
    scrub
        Removes what was deleted from the bytes of the journals and of the registry.
    """
    if plane.keys is None or not plane.keys.exists():
        return []
    with plane.database.read() as connection:
        pending = pending_erasures(connection)
    return [_finish(plane, lake, one, ship, backups, scrub) for one in pending]


def _finish(
    plane: ControlPlane,
    lake: Lake,
    erasure: Erasure,
    ship: Callable[[], None],
    backups: Callable[[str, Sequence[bytes], Sequence[str]], BackupsErased],
    scrub: Callable[[], None],
) -> Erasure:
    pseudonym = erasure.subject
    pseudonym_of = keys_of_plane(plane).pseudonyms()
    ids = _destroy(plane, lake, pseudonym)
    rows, files = _drop_rows(plane, lake, pseudonym, pseudonym_of, ship)
    waiting = _drop_waiting(plane, pseudonym, pseudonym_of)
    redacted = redact_training_data(plane, pseudonym, pseudonym_of)
    seen = backups(pseudonym, ids, [*files, *redacted.artifacts])
    if rows or waiting or redacted.changed:
        scrub()

    def complete(known: Erasure) -> Erasure:
        return msgspec.structs.replace(
            known,
            keys=max(known.keys, len(ids)),
            rows=known.rows + rows,
            waiting=known.waiting + waiting,
            samples=known.samples + redacted.rows,
            backups=seen.destroyed,
            unreached=seen.unreached,
            found={**known.found, **seen.found},
            pending=False,
        )

    with plane.database.begin() as connection:
        return change_erasure(connection, erasure.id, complete)


def _destroy(plane: ControlPlane, lake: Lake, pseudonym: str) -> list[bytes]:
    """Destroy the keys of a pseudonym, those included that only records in the journals name."""
    store = keys_of_plane(plane).open()
    return store.erase(pseudonym, lake.keys_waiting(pseudonym), plane.clock.nanoseconds())


def _drop_rows(
    plane: ControlPlane,
    lake: Lake,
    pseudonym: str,
    pseudonym_of: Callable[[Any], str | None],
    ship: Callable[[], None],
) -> tuple[int, list[str]]:
    """Delete rows that name the subject in plain text; how many, and the files that held them."""
    with plane.database.read() as connection:
        routes = items_of(lambda offset: list_routes(connection, offset=offset, limit=_PAGE))
        columns = {
            route.endpoint: route.privacy.subject
            for route in routes
            if route.privacy is not None and route.privacy.subject is not None
        }
    if columns:
        # Rows that wait in the journals become files first.
        ship()
    rows = 0
    files: list[str] = []
    for endpoint, column in columns.items():
        dropped = lake.drop_plain(endpoint, column, pseudonym, pseudonym_of)
        if dropped is None:
            raise Conflict(
                "somebody else wrote to the table meanwhile",
                field="endpoint",
                found=endpoint,
                next_step="nothing was changed; it is tried again",
            )
        rows += dropped.rows
        files += dropped.files
    return rows, files


def _drop_waiting(plane: ControlPlane, pseudonym: str, pseudonym_of: Callable[[Any], str | None]) -> int:
    """Delete outcomes under the subject's key that wait for a decision; return how many there were."""
    dropped = 0
    with plane.database.read() as connection:
        endpoints = sorted(endpoints_waiting(connection))
    for endpoint in endpoints:
        with plane.database.read() as connection:
            route = find_route(connection, endpoint)
        named = None if route is None or route.privacy is None else route.privacy.subject

        def theirs(one: WaitingOutcome, named: str | None = named) -> bool:
            if one.key == PSEUDONYM:
                return bool(one.value == pseudonym)
            return one.key == named and pseudonym_of(one.value) == pseudonym

        after, more = "", True
        while more:
            with plane.database.begin() as connection:
                piece, after = next_waiting(connection, endpoint, after, _PIECE)
                found = [one for one in piece if theirs(one)]
                drop_waiting(connection, found)
            dropped += len(found)
            more = bool(after)
    return dropped
