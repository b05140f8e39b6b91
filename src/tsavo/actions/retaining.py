"""How long an endpoint's decisions and outcomes are kept."""

from __future__ import annotations

from typing import Final

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.route_changes import change_route, existing
from tsavo.governance import Principal, Right, require
from tsavo.storage import Connection
from tsavo.vocabulary import Invalid, Refused, Retention, Route

__all__ = ["retain"]

_MOST_DAYS: Final = 36_500
_NOTHING_SAID: Final = Retention()


def retain(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    *,
    keep_days: int | msgspec.UnsetType | None = msgspec.UNSET,
    at_least_days: int | msgspec.UnsetType | None = msgspec.UNSET,
    everywhere: Retention = _NOTHING_SAID,
    why: str = "",
) -> Route:
    """Change how long an endpoint's rows are kept; what is not given stays, ``None`` is as the settings say.

    The keeper deletes what is older the next time it tidies the lake.

    Parameters
    ----------
    keep_days
        1 to 36,500: rows that are older are deleted. 0: they are kept for ever.
    at_least_days
        0 to 36,500: rows that are younger are never deleted.
    everywhere
        What the settings say.

    Raises
    ------
    Invalid
        When a number is out of range, or nothing is given.
    Refused
        When rows would be deleted that must be kept.
    """
    require(who, Right.DEPLOY)
    if keep_days is msgspec.UNSET and at_least_days is msgspec.UNSET:
        raise Invalid("nothing to change", expected="keep_days or at_least_days")
    for name, given in (("keep_days", keep_days), ("at_least_days", at_least_days)):
        if isinstance(given, int) and not 0 <= given <= _MOST_DAYS:
            raise Invalid(
                "not a number of days", field=name, found=given, expected=f"0 to {_MOST_DAYS:,}, or none"
            )

    def change(_connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        before = route.retention
        after = Retention(
            before.keep_days if keep_days is msgspec.UNSET else keep_days,
            before.at_least_days if at_least_days is msgspec.UNSET else at_least_days,
        )
        floor = max(after.at_least_days or 0, everywhere.at_least_days or 0)
        if after.keep_days and after.keep_days < floor:
            raise Refused(
                "rows would be deleted that must be kept",
                field="keep_days",
                found=after.keep_days,
                expected=f"at least {floor:,} days, or 0 for ever",
                next_step="keep them longer, or lower at_least_days of the endpoint or in tsavo.toml",
            )
        return msgspec.structs.replace(route, retention=after)

    return change_route(plane, who, endpoint, "endpoint.retention", why, change)
