"""Alerts, and what people do about them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar.params import Parameter

from tsavo.alerts import acknowledge, get_alert, list_alerts, resolve
from tsavo.console.declaring import act, look
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right
from tsavo.vocabulary import Alert, AlertState, Page

__all__ = ["ALERT_ROUTES"]


class NoteGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person has to say."""

    note: str = ""


@look("/api/alerts", summary="Alerts")
def alerts(
    parts: ConsoleParts,
    endpoint: str | None = None,
    wanted: Annotated[AlertState | None, Parameter(query="state")] = None,
    offset: int = 0,
    limit: int = 50,
) -> Page[Alert]:
    """Alerts, newest first."""
    with parts.plane.database.read() as connection:
        return list_alerts(connection, endpoint=endpoint, state=wanted, offset=offset, limit=limit)


@look("/api/alerts/{alert:int}", summary="One alert")
def show_alert(parts: ConsoleParts, alert: int) -> Alert:
    """One alert with its notes."""
    with parts.plane.database.read() as connection:
        return get_alert(connection, alert)


@act("/api/alerts/{alert:int}/ack", Right.ALERTS, summary="Acknowledge an alert")
def acknowledge_alert(parts: ConsoleParts, who: Principal, alert: int, data: NoteGiven) -> Alert:
    """Say that you have seen it."""
    with parts.plane.database.begin() as connection:
        return acknowledge(connection, alert, by=who.name, now=parts.plane.clock.now(), note=data.note)


@act("/api/alerts/{alert:int}/resolve", Right.ALERTS, summary="Resolve an alert")
def resolve_alert(parts: ConsoleParts, who: Principal, alert: int, data: NoteGiven) -> Alert:
    """Say that it is dealt with."""
    with parts.plane.database.begin() as connection:
        return resolve(connection, alert, by=who.name, now=parts.plane.clock.now(), note=data.note)


ALERT_ROUTES = [alerts, show_alert, acknowledge_alert, resolve_alert]
