"""Settings of the background loop and of the lake that it keeps."""

from __future__ import annotations

from typing import Final

import msgspec

from tsavo.vocabulary import Invalid, Retention

__all__ = ["KeeperSettings", "LakeSettings"]

_MOST_DAYS: Final = 36_500


class KeeperSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The background loop.

    Attributes
    ----------
    ship_seconds
        Pause between two rounds of shipping the journal to the lake and looking at the monitors.
    maintain_minutes
        How often small files of the lake are merged.
    commits_per_second
        So many commits a second are made to the lake's tables; rows of quiet endpoints wait for their turn.
    hold_seconds
        So long do rows wait for their turn at most.
    """

    ship_seconds: float = 1.0
    maintain_minutes: float = 10.0
    commits_per_second: float = 20.0
    hold_seconds: float = 600.0

    def check(self) -> None:
        """Raise `Invalid` when a value is out of range."""
        for name, low, high in (
            ("ship_seconds", 0.05, 3600),
            ("maintain_minutes", 0.1, 10_000),
            ("commits_per_second", 0.01, 10_000),
            ("hold_seconds", 0, 86_400),
        ):
            _within(f"keeper.{name}", getattr(self, name), low, high)


class LakeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long decisions and outcomes are kept, where an endpoint does not say.

    Attributes
    ----------
    keep_days
        Rows that are older are deleted; 0 keeps them for ever.
    at_least_days
        Rows that are younger are never deleted, whatever an endpoint says.
    """

    keep_days: int = 0
    at_least_days: int = 0

    @property
    def retention(self) -> Retention:
        """The same, as an endpoint says it."""
        return Retention(self.keep_days, self.at_least_days)

    def check(self) -> None:
        """Raise `Invalid` when they make no sense."""
        for name in ("keep_days", "at_least_days"):
            _within(f"lake.{name}", getattr(self, name), 0, _MOST_DAYS)
        if 0 < self.keep_days < self.at_least_days:
            raise Invalid(
                "rows would be deleted that must be kept",
                field="lake.keep_days",
                found=self.keep_days,
                expected=f"at least lake.at_least_days, {self.at_least_days}, or 0",
            )


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise Invalid("a setting is out of range", field=name, found=value, expected=f"{low:,} to {high:,}")
