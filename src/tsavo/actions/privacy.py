"""What of an endpoint's inputs is personal, and looking at it all the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.route_changes import change_route, existing
from tsavo.governance import Principal, Right, audit, require
from tsavo.lake import Lake
from tsavo.privacy import KeyRing
from tsavo.registry import get_version
from tsavo.runtimes.agreement import plain
from tsavo.storage import Connection, from_nanoseconds
from tsavo.vocabulary import (
    Invalid,
    Privacy,
    Refused,
    Revealed,
    Route,
    Signature,
    Unavailable,
    VersionRef,
    parse_decision_id,
)

__all__ = ["keys_of_plane", "mark_personal", "pseudonym_of", "reveal_decision"]

_MOST_COLUMNS: Final = 1_000
# Whole numbers above this are not told apart in 32 bits.
_EXACT_FLOAT32: Final = 1 << 24


def mark_personal(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    *,
    subject: str | None = None,
    personal: Sequence[str] = (),
    nothing: bool = False,
    why: str = "",
) -> Route:
    """Say which inputs of an endpoint are personal; from then on they are recorded sealed.

    What was recorded before stays as it is, until its subject is erased or its time has come.

    Parameters
    ----------
    subject
        The column that says whose data a row is; ``None``: callers say it beside each request.
    personal
        Other columns that are sealed.
    nothing
        Nothing is personal any more; what was sealed stays so.

    Raises
    ------
    Invalid
        Nothing is named, or the champion has no such column.
    Refused
        The column cannot be sealed: a family goes by it, or traffic is divided by it, or its numbers are too coarse.
    """
    require(who, Right.DEPLOY)
    if not nothing and subject is None and not personal:
        raise Invalid(
            "nothing is named that is personal",
            field="personal",
            expected="a column of whose data a row is, or personal columns",
            next_step="name them with --subject COLUMN and --column COLUMN, or say --nothing",
        )
    if len(personal) > _MOST_COLUMNS:
        raise Invalid(
            "too many columns", field="personal", found=len(personal), expected=f"at most {_MOST_COLUMNS}"
        )
    if not nothing:
        # The master key is made now, where a full disk or a wrong setting is told to who sets this up.
        keys_of_plane(plane).open(make=True)

    def change(connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        if nothing:
            return msgspec.structs.replace(route, privacy=None)
        names = tuple(dict.fromkeys(name for name in personal if name != subject))
        _check_columns(route, get_version(connection, route.champion).signature, subject, names)
        return msgspec.structs.replace(route, privacy=Privacy(subject, names))

    return change_route(plane, who, endpoint, "endpoint.personal", why, change)


def _check_columns(route: Route, signature: Signature, subject: str | None, personal: Sequence[str]) -> None:
    known = {field.name: field for field in signature.inputs}
    for field, name in (("subject", subject), *(("personal", name) for name in personal)):
        if name is None:
            continue
        if route.segments is not None and route.segments.key == name:
            raise Refused(
                "a family's segments are recorded as they are, so the column that chooses them cannot be sealed",
                field=field,
                found=name,
                next_step="leave it out, or let an endpoint without segments answer",
            )
        if name not in known:
            raise Invalid(
                f"{route.champion} has no such column",
                field=field,
                found=name,
                expected=f"one of {list(known)[:30]}",
                next_step="callers can say whose data it is beside the request, in the header x-tsavo-subject"
                if field == "subject"
                else None,
            )
    if subject is not None and known[subject].dtype == "float32":
        raise Refused(
            f"the model takes '{subject}' as 32-bit numbers, which do not tell people above {_EXACT_FLOAT32:,} apart",
            field="subject",
            found=subject,
            expected="a column of text, whole numbers or 64-bit numbers",
            next_step="let callers say whose data it is in the header x-tsavo-subject, and leave --subject out",
        )


def keys_of_plane(plane: ControlPlane) -> KeyRing:
    """The keys of data subjects; raise `Unavailable` where there can be none."""
    if plane.keys is None:
        raise Unavailable("this process has no keys of data subjects", field="privacy", next_step=None)
    return plane.keys


def pseudonym_of(plane: ControlPlane, who: Principal, subject: Any) -> str:
    """The pseudonym under which a subject's decisions are found in SQL.

    Raises
    ------
    Invalid
        It can be nobody's key.
    """
    require(who, Right.QUERY)
    return keys_of_plane(plane).pseudonym(subject)


def reveal_decision(
    plane: ControlPlane, lake: Lake, who: Principal, decision_id: str, *, why: str
) -> Revealed:
    """The personal values of one decision; who looked, at what and why is in the audit trail before they are shown.

    Raises
    ------
    Invalid
        It is no decision id, or no reason is given.
    NotFound
        There is no such decision, or nothing of it is sealed.
    """
    require(who, Right.PRIVACY)
    request, row = parse_decision_id(decision_id)
    if not why.strip():
        raise Invalid(
            "personal values are shown for a reason only",
            field="why",
            expected="a sentence, which stays in the audit trail",
            next_step="say it with --why",
        )
    decision = lake.decision(decision_id)
    if not decision["personal"]:
        raise Invalid(
            "nothing of this decision is sealed",
            field="decision_id",
            found=decision_id,
            next_step="see its receipt",
        )
    with plane.database.begin() as connection:
        audit(
            connection,
            time=plane.clock.now(),
            who=who.name,
            action="personal.reveal",
            subject=f"decision:{decision_id}",
            why=why,
            after={"columns": decision["personal"], "pseudonym": decision["pseudonym"]},
        )
    one = next(
        one
        for one in lake.recorded(decision["endpoint"], [request])
        if one.role == decision["role"] and row in one.rows
    )
    at = one.rows.index(row)
    if at in one.erased:
        _, moment = keys_of_plane(plane).open().subject_of(decision["pseudonym"])
        erased = None if moment is None else from_nanoseconds(moment)
        return Revealed(decision_id, decision["pseudonym"], {}, erased)
    with plane.database.read() as connection:
        signature = get_version(connection, VersionRef(one.model, one.version)).signature
    columns = one.batch.columns if one.batch.matrix is None else one.batch.matrix.T
    values = {signature.inputs[place].name: plain(columns[place][at]) for place in one.hidden}
    return Revealed(decision_id, decision["pseudonym"], values)
