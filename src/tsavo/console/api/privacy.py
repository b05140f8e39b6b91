"""Personal data: what is sealed, looking at it, and erasing whose it is."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tsavo.actions import erase_subject, mark_personal, pseudonym_of, reveal_decision
from tsavo.console.crowding import REGISTRATIONS
from tsavo.console.declaring import act, look
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right
from tsavo.registry import get_erasure, list_erasures
from tsavo.vocabulary import Erasure, Page, Revealed, Route

__all__ = ["PRIVACY_ROUTES", "personal_folders"]


class PersonalGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which inputs are personal.

    Attributes
    ----------
    subject
        The column that says whose data a row is; ``null``: callers say it in the header ``x-tsavo-subject``.
    personal
        Other columns that are sealed.
    nothing
        Nothing is personal any more.
    """

    subject: str | None = None
    personal: tuple[str, ...] = ()
    nothing: bool = False
    why: str = ""


class SubjectGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A data subject, by the key that callers know; in the body, because addresses are logged on their way."""

    subject: str | int | float


class ErasureGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to erase, and why; the reason stays in the audit trail and must not name them."""

    subject: str | int | float
    why: str = ""


class ReasonGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why somebody looks; it stays in the audit trail."""

    why: str = ""


class Pseudonym(msgspec.Struct, frozen=True):
    """The name under which a subject's decisions are found in SQL."""

    pseudonym: str


@act("/api/endpoints/{endpoint:str}/personal", Right.DEPLOY, summary="Say which inputs are personal")
def change_personal(parts: ConsoleParts, who: Principal, endpoint: str, data: PersonalGiven) -> Route:
    """From now on these are recorded sealed, so that erasing a person makes them unreadable."""
    return mark_personal(
        parts.plane,
        who,
        endpoint,
        subject=data.subject,
        personal=data.personal,
        nothing=data.nothing,
        why=data.why,
    )


@act("/api/decisions/{decision:str}/reveal", Right.PRIVACY, summary="Show the personal values of a decision")
def reveal(parts: ConsoleParts, who: Principal, decision: str, data: ReasonGiven) -> Revealed:
    """Who looked, at which columns and why is in the audit trail before anything is shown."""
    return reveal_decision(parts.plane, parts.lake, who, decision, why=data.why)


@act("/api/pseudonyms", Right.QUERY, summary="The pseudonym of a data subject")
def show_pseudonym(parts: ConsoleParts, who: Principal, data: SubjectGiven) -> Pseudonym:
    """HMAC-SHA256 of the subject's key under the home's master key; the column `pseudonym` of decisions."""
    return Pseudonym(pseudonym_of(parts.plane, who, data.subject))


@act("/api/erasures", Right.PRIVACY, summary="Erase a data subject")
async def erase(parts: ConsoleParts, who: Principal, data: ErasureGiven) -> Erasure:
    """Destroy every key of the subject, at once. Backups and rows in plain text follow: ask again until not pending."""
    folders = personal_folders(parts)
    return await REGISTRATIONS.run(
        lambda: erase_subject(parts.plane, parts.lake, who, data.subject, why=data.why, folders=folders)
    )


def personal_folders(parts: ConsoleParts) -> tuple[Path, ...]:
    """Where files lie that people had made, which may name somebody."""
    return (parts.exports or parts.home.exports, parts.home.logs)


@look("/api/erasures", summary="Erasures, the newest first")
def show_erasures(
    parts: ConsoleParts, subject: str | None = None, offset: int = 0, limit: int = 50
) -> Page[Erasure]:
    """Who was erased, by pseudonym, and what that came to."""
    with parts.plane.database.read() as connection:
        return list_erasures(connection, subject=subject, offset=offset, limit=limit)


@look("/api/erasures/{erasure:str}", summary="An erasure")
def show_erasure(parts: ConsoleParts, erasure: str) -> Erasure:
    """What it came to, and whether the keeper is still at it."""
    with parts.plane.database.read() as connection:
        return get_erasure(connection, erasure)


PRIVACY_ROUTES = [change_personal, reveal, show_pseudonym, erase, show_erasures, show_erasure]
