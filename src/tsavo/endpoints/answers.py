"""What goes back to a caller: an answer, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.endpoints.loaded import LoadedVersion
from tsavo.endpoints.parts import Given, Part, merge
from tsavo.vocabulary import (
    NUMPY_DTYPES,
    ConstantFallback,
    Invalid,
    Overloaded,
    Role,
    Route,
    Signature,
    TsavoError,
    Unavailable,
    VersionRef,
)

__all__ = ["Answer", "check_wanted", "constant_outputs", "nothing_answers", "together"]

_RETRY_SECONDS: Final = 1.0
# What is told of an answer whose rows were answered in several roles.
_ROLES: Final[tuple[Role, ...]] = ("fallback", "challenger", "champion")


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What goes back to the caller; outputs are in the order of `signature.outputs`.

    Attributes
    ----------
    version, role
        Who answered. Where that was not the same for all rows, the endpoint's champion, and the first of ``fallback``,
        ``challenger`` and ``champion`` that answered any row.
    row_versions, row_roles
        Who answered each row, where that was not the same for all; else empty.
    recorded
        Whether the decisions are on disk. Where they are not, no decision id is told: it could not be found.
    """

    request: str
    endpoint: str
    version: VersionRef
    role: Role
    rows: int
    signature: Signature
    outputs: tuple[npt.NDArray[Any], ...]
    flags: tuple[str, ...]
    row_flags: dict[int, list[str]]
    row_versions: tuple[VersionRef, ...] = ()
    row_roles: tuple[Role, ...] = ()
    recorded: bool = True

    def unrecorded(self, flag: str) -> Answer:
        """The same answer, flagged as one whose decisions are not on disk."""
        return msgspec.structs.replace(self, flags=(*self.flags, flag), recorded=False)


def together(
    request: str,
    route: Route,
    signature: Signature,
    rows: int,
    parts: Sequence[Part],
    given: Sequence[Given],
    row_flags: dict[int, list[str]],
) -> Answer:
    """One answer from those that several versions gave for a part of the rows each; flags stand with their rows."""
    versions = [route.champion] * rows
    roles: list[Role] = ["champion"] * rows
    flags = {row: list(told) for row, told in row_flags.items()}
    for part, one in zip(parts, given, strict=True):
        for row in range(rows) if part.places is None else part.places.tolist():
            versions[row], roles[row] = one.ref, one.role
            if one.flags:
                flags[row] = [*one.flags, *flags.get(row, ())]
    role: Role = next(role for role in _ROLES if role in roles)
    outputs = merge(signature, rows, parts, given)
    same = len(set(versions)) == 1
    return Answer(
        request,
        route.endpoint,
        versions[0] if same else route.champion,
        role,
        rows,
        signature,
        outputs,
        (),
        flags,
        () if same else tuple(versions),
        () if len(set(roles)) == 1 else tuple(roles),
    )


def check_wanted(signature: Signature, wanted: Sequence[str]) -> None:
    """Raise `Invalid` where the caller asks for an output that the version does not have."""
    known = [output.name for output in signature.outputs]
    for name in wanted:
        if name not in known:
            raise Invalid("no such output", field="outputs", found=name, expected=f"one of {known}")


def constant_outputs(
    signature: Signature, constant: ConstantFallback, rows: int
) -> tuple[npt.NDArray[Any], ...]:
    """The constant for each row, in the order and the types of the signature's outputs."""
    outputs = []
    for output in signature.outputs:
        shape = (rows,) if output.width is None else (rows, output.width)
        array = np.empty(shape, dtype=NUMPY_DTYPES[output.dtype])
        array[:] = constant.outputs[output.name]
        outputs.append(array)
    return tuple(outputs)


def nothing_answers(route: Route, champion: LoadedVersion, why: str, cause: Exception | None) -> Unavailable:
    """What the caller is told when no step of the route answers: because of the plug, or of an error."""
    if isinstance(cause, Overloaded) and not route.fallback:
        return cause
    known = champion.failure if cause is None else cause
    retry_after = known.retry_after if isinstance(known, TsavoError) else None
    if why == "time-out":
        reason = f"{champion.ref} took longer than the {route.limits.milliseconds} ms that '{route.endpoint}' allows"
        mend = f"allow more with 'tsavo limit {route.endpoint} --milliseconds N', or give it a fallback"
        retry_after = retry_after or _RETRY_SECONDS
    elif why == "plug":
        reason = f"the plug of '{route.endpoint}' is pulled"
        mend = f"put it back with 'tsavo plug {route.endpoint} --off', or give it a fallback"
    else:
        # A worker names its version; it is named here already.
        told = known.reason.removeprefix(f"{champion.ref}: ") if isinstance(known, TsavoError) else ""
        said = f": {told}" if told else ""
        reason = f"{champion.ref} cannot answer{said}"
        mend = f"roll back with 'tsavo rollback {route.endpoint}', or give it a fallback"
    empty = "" if route.fallback else " and it has no fallback"
    return Unavailable(
        reason + empty, field="endpoint", found=route.endpoint, next_step=mend, retry_after=retry_after
    )
