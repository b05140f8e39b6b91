"""What thousands of registrations need beside `register`: what is there already, and where the versions go.

Both can be asked for again at any time: what is registered or deployed already stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.families import set_members
from tsavo.actions.routing import deploy
from tsavo.governance import Principal, Right, require
from tsavo.registry import Origin, find_route, origins_of
from tsavo.vocabulary import Hints, TsavoError, VersionRef

__all__ = ["Handed", "deploy_once", "find_registered", "place_members"]


class Handed(msgspec.Struct, frozen=True):
    """What would be registered, by the digests of its files.

    Attributes
    ----------
    source_digest, data_digest
        SHA-256 of the model file and of the reference data, as they would be handed in.
    """

    model: str
    source_digest: str
    data_digest: str | None = None
    target: str | None = None
    hints: Hints = Hints()
    runtime: Literal["auto", "onnx", "python"] = "auto"


def find_registered(plane: ControlPlane, who: Principal, handed: Sequence[Handed]) -> list[Origin | None]:
    """For each, in order, the newest version of its model that was made from the same things; ``None`` without one."""
    require(who, Right.READ)
    with plane.database.read() as connection:
        present = origins_of(connection, {one.model for one in handed})
    return [_same(one, present.get(one.model, [])) for one in handed]


def _same(handed: Handed, present: Sequence[Origin]) -> Origin | None:
    for origin in reversed(present):
        lineage = origin.lineage
        if (
            lineage.source_digest == handed.source_digest
            and lineage.data_digest == handed.data_digest
            and (handed.data_digest is None or origin.target == handed.target)
            and origin.hints == handed.hints
            and handed.runtime in ("auto", origin.runtime)
        ):
            return origin
    return None


def deploy_once(
    plane: ControlPlane, who: Principal, endpoint: str, version: VersionRef, *, why: str = ""
) -> None:
    """Make `version` the champion of `endpoint`, unless it is; raises what `deploy` does."""
    with plane.database.read() as connection:
        present = find_route(connection, endpoint)
    if present is None or present.champion != version:
        deploy(plane, who, endpoint, version, why=why)


def place_members(
    plane: ControlPlane, who: Principal, endpoint: str, versions: Mapping[str, VersionRef], *, why: str = ""
) -> dict[str, TsavoError]:
    """Let each segment of a family be answered by its version; why not, for the segments that could not be.

    One transaction for all of them; when that is refused, one for each, so that a bad one keeps no other out.
    """
    if not versions:
        return {}
    try:
        set_members(plane, who, endpoint, versions, why=why)
    except TsavoError as error:
        if len(versions) == 1 or error.field == "endpoint":
            # Nothing else, or the family itself is at fault.
            return dict.fromkeys(versions, error)
    else:
        return {}
    refused: dict[str, TsavoError] = {}
    for segment, version in versions.items():
        refused.update(place_members(plane, who, endpoint, {segment: version}, why=why))
    return refused
