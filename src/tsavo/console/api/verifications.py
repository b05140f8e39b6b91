"""Versions as they are kept: whether they still answer as they did, and a way out."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response
from litestar.response import Stream

from tsavo.actions import eject, verify, verify_next
from tsavo.console.crowding import REGISTRATIONS
from tsavo.console.declaring import act, look
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right
from tsavo.registry import get_version, list_verifications
from tsavo.vocabulary import Page, Verification, VerifiedPage, VersionRef

__all__ = ["VERIFICATION_ROUTES"]


class VerifyGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Libraries to try instead of the present ones, such as ``["scikit-learn==1.7.2"]``."""

    requirements: tuple[str, ...] = ()


class VerifyNextGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which versions: all, or those of one model; after one of them (``model@3``), where the last page ended."""

    model: str | None = None
    after: str | None = None
    requirements: tuple[str, ...] = ()


@act("/api/models/{model:str}/versions/{number:int}/verify", Right.REGISTER, summary="Verify a version")
async def verify_version(
    parts: ConsoleParts, who: Principal, model: str, number: int, data: VerifyGiven
) -> Verification:
    """Answer the golden rows again, and compare."""
    ref = VersionRef(model, number)
    return await REGISTRATIONS.run(lambda: verify(parts.plane, who, ref, data.requirements))


@act("/api/verifications", Right.REGISTER, summary="Verify the next versions of many")
async def verify_versions(parts: ConsoleParts, who: Principal, data: VerifyNextGiven) -> VerifiedPage:
    """Verify a few versions in order of model and number; go on with `last` as `after` until it is null."""
    after = None if data.after is None else VersionRef.parse(data.after)
    return await REGISTRATIONS.run(
        lambda: verify_next(parts.plane, who, after, model=data.model, requirements=data.requirements)
    )


@look("/api/models/{model:str}/versions/{number:int}/verifications", summary="Verifications of a version")
def verifications(
    parts: ConsoleParts, model: str, number: int, offset: int = 0, limit: int = 50
) -> Page[Verification]:
    """What verifications of a version found, newest first."""
    ref = VersionRef(model, number)
    with parts.plane.database.read() as connection:
        get_version(connection, ref)
        return list_verifications(connection, ref, offset=offset, limit=limit)


@look(
    "/api/models/{model:str}/versions/{number:int}/eject",
    Right.QUERY,
    summary="A version as an MLflow model folder",
    media_type="application/zip",
)
def eject_version(parts: ConsoleParts, who: Principal, model: str, number: int) -> Response[Any]:
    """A zip of a folder that runs without Tsavo."""
    pieces = eject(parts.plane, who, VersionRef(model, number))
    name = f"{model}-{number}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Stream(pieces, media_type="application/zip", headers=headers)


VERIFICATION_ROUTES = [verify_version, verify_versions, verifications, eject_version]
