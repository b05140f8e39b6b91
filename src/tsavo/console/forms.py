"""What people change with the pages' forms: plain HTML, each answered by a way back to where it was sent from."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Redirect

from tsavo.actions import (
    plug_member,
    promote,
    pull_plug,
    release_plug,
    roll_back,
    share,
    start_drill,
    unplug_member,
    verify,
)
from tsavo.alerts import acknowledge, resolve
from tsavo.console.crowding import REGISTRATIONS
from tsavo.console.declaring import act
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right
from tsavo.vocabulary import Invalid, VersionRef

__all__ = ["FORM_ROUTES"]

_Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]


@act("/endpoints/{endpoint:str}/plug", Right.PLUG, include_in_schema=False)
def plug_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Pull the plug."""
    pull_plug(parts.plane, who, endpoint, why=data.get("why", "")[:500])
    return _back(f"/endpoints/{endpoint}")


@act("/endpoints/{endpoint:str}/unplug", Right.PLUG, include_in_schema=False)
def unplug_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Put the plug back."""
    release_plug(parts.plane, who, endpoint, why=data.get("why", "")[:500])
    return _back(f"/endpoints/{endpoint}")


@act("/endpoints/{endpoint:str}/promote", Right.DEPLOY, include_in_schema=False)
def promote_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Promote the challenger."""
    version = VersionRef.parse(data["version"]) if data.get("version") else None
    promote(parts.plane, who, endpoint, version, why=data.get("why", "")[:500])
    return _back(f"/endpoints/{endpoint}")


@act("/endpoints/{endpoint:str}/share", Right.DEPLOY, include_in_schema=False)
def share_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Change a challenger's share of the requests."""
    try:
        part = float(data.get("percent", "")) / 100
    except ValueError as error:
        raise Invalid(
            "not a number", field="percent", found=data.get("percent"), expected="0 to 99.9"
        ) from error
    version = VersionRef.parse(data.get("version", ""))
    share(parts.plane, who, endpoint, version, part, why=data.get("why", "")[:500])
    return _back(f"/endpoints/{endpoint}#sharing")


@act("/endpoints/{endpoint:str}/drill", Right.PLUG, include_in_schema=False)
def drill_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Begin a fire drill."""
    start_drill(parts.plane, who, endpoint, why=data.get("why", "")[:500])
    return _back(f"/endpoints/{endpoint}#drill")


@act("/endpoints/{endpoint:str}/rollback", Right.DEPLOY, include_in_schema=False)
def rollback_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Roll back."""
    roll_back(parts.plane, who, endpoint, why=data.get("why", "")[:500])
    return _back(f"/endpoints/{endpoint}")


@act("/families/{endpoint:str}/plug", Right.PLUG, include_in_schema=False)
def plug_member_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Pull the plug of one segment."""
    plug_member(parts.plane, who, endpoint, data.get("segment", ""), why=data.get("why", "")[:500])
    return _back(_local(data.get("back", ""), f"/families/{endpoint}/members"))


@act("/families/{endpoint:str}/unplug", Right.PLUG, include_in_schema=False)
def unplug_member_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Put the plug of one segment back."""
    unplug_member(parts.plane, who, endpoint, data.get("segment", ""), why=data.get("why", "")[:500])
    return _back(_local(data.get("back", ""), f"/families/{endpoint}/members"))


@act("/models/{model:str}/versions/{number:int}/verify", Right.REGISTER, include_in_schema=False)
async def verify_form(
    parts: ConsoleParts, who: Principal, model: str, number: int, data: _Form
) -> Response[Any]:
    """Verify a version, beside other libraries where they are named."""
    libraries = data.get("requirements", "")[:500].replace(",", " ").split()
    await REGISTRATIONS.run(lambda: verify(parts.plane, who, VersionRef(model, number), libraries))
    return _back(f"/models/{model}/versions/{number}#verifications")


@act("/alerts/{alert:int}", Right.ALERTS, include_in_schema=False)
def alert_form(parts: ConsoleParts, who: Principal, alert: int, data: _Form) -> Response[Any]:
    """Acknowledge or resolve an alert."""
    move = {"acknowledge": acknowledge, "resolve": resolve}.get(data.get("do", ""))
    if move is None:
        raise Invalid(
            "not something to do", field="do", found=data.get("do"), expected="acknowledge or resolve"
        )
    now = parts.plane.clock.now()
    with parts.plane.database.begin() as connection:
        move(connection, alert, by=who.name, now=now, note=data.get("note", "")[:2000])
    return _back(_local(data.get("back", ""), "/alerts"))


def _back(path: str) -> Redirect:
    return Redirect(path, status_code=303)


def _local(path: str, otherwise: str) -> str:
    """Only a path of ours is gone back to."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else otherwise


FORM_ROUTES = [
    plug_form,
    unplug_form,
    promote_form,
    share_form,
    drill_form,
    rollback_form,
    plug_member_form,
    unplug_member_form,
    verify_form,
    alert_form,
]
