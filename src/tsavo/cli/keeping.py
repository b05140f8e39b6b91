"""``retention``: how long an endpoint's decisions and outcomes are kept."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from tsavo.cli.options import Common, Options
from tsavo.cli.printing import print_json
from tsavo.vocabulary import Invalid

__all__ = ["retention"]


def retention(
    endpoint: str,
    /,
    *,
    keep_days: int | Literal["forever", "default"] | None = None,
    at_least_days: int | Literal["default"] | None = None,
    why: str = "",
    options: Common = Options(),
) -> int:
    """How long decisions and outcomes of an endpoint are kept. What is not given stays as it is.

    Parameters
    ----------
    endpoint
        The endpoint.
    keep_days
        Rows that are older are deleted; forever keeps them, default is as the settings say.
    at_least_days
        Rows that are younger are never deleted; default is as the settings say.
    why
        Kept in the audit trail.
    """
    if keep_days == 0:
        raise Invalid("not a number of days", field="keep-days", found=0, expected="1 or more, or forever")
    with options.connected() as client:
        named = client.endpoint(endpoint)
        if keep_days is not None or at_least_days is not None:
            named.retain(
                keep_days=0 if keep_days == "forever" else _given(keep_days),
                at_least_days=_given(at_least_days),
                why=why,
            )
        told = named.retention()
    if options.json:
        print_json(told)
        return 0
    keep, least = told["effective"]["keep_days"], told["effective"]["at_least_days"]
    kept = f"rows are deleted after {keep:,} days" if keep else "rows are kept for ever"
    floor = f", never before {least:,} days" if least and keep else ""
    print(f"{endpoint}: {kept}{floor}")
    return 0


def _given(value: int | Literal["forever", "default"] | None) -> int | UnsetType | None:
    if value is None:
        return UNSET
    return value if isinstance(value, int) else None
