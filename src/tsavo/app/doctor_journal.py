"""What the doctor looks at in the journals: what waits, whether recording works, and what was lost."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tsavo.app.settings import load_settings
from tsavo.endpoints.journal_health import journal_health
from tsavo.journal import Journal, damage_reports, journals
from tsavo.storage import Home
from tsavo.vocabulary import TsavoError, decode_record

__all__ = [
    "Examination",
    "duration",
    "examine_backlog",
    "examine_damage",
    "examine_gaps",
    "examine_recording",
    "examine_spill",
]

_GIB: Final = 1 << 30
_MIB: Final = 1 << 20
_WARN_SHARE: Final = 0.8
# The keeper ships every second; rows of quiet endpoints may wait a little.
_LATE_SECONDS: Final = 900.0


class Examination(msgspec.Struct, frozen=True):
    """One thing that was looked at: what was found and, when it is not well, what to do."""

    name: str
    ok: bool
    found: str
    mend: str = ""


class _Waiting(NamedTuple):
    """What waits in one journal; `since` is when its oldest record was made, ``None`` when nothing waits."""

    name: str
    rows: int
    bytes: int
    since: datetime | None


def examine_backlog(home: Home) -> Examination:
    """What waits to be shipped, since when, and how near that is to its bounds."""
    settings = load_settings(home).journal
    found = [_waiting(path) for path in journals(home.journal)]
    rows, size = sum(one.rows for one in found), sum(one.bytes for one in found)
    text = f"{rows:,} records ({size / _MIB:.1f} MiB) wait to be shipped in {len(found)} journals"
    started = [one.since for one in found if one.since is not None]
    seconds = (datetime.now(UTC) - min(started)).total_seconds() if started else 0.0
    if started:
        text += f", the oldest for {duration(seconds)}"
    most, least = settings.most_gib * _GIB, settings.least_free_mib * _MIB
    largest = max(found, key=lambda one: one.bytes, default=None)
    ships = f"see why the keeper does not ship: {home.logs / 'keeper.log'}; without it, run 'tsavo up'"
    if most and largest is not None and largest.bytes > _WARN_SHARE * most:
        text += f"; {largest.name} has {largest.bytes / most:.0%} of journal.most_gib"
        return Examination("journal", ok=False, found=text, mend=ships)
    free = shutil.disk_usage(home.journal).free
    if least and free < least / _WARN_SHARE:
        text += f"; {free / _MIB:.0f} MiB are free, and journal.least_free_mib are {settings.least_free_mib}"
        return Examination("journal", ok=False, found=text, mend=f"make room on the disk of {home.journal}")
    if seconds > _LATE_SECONDS:
        return Examination("journal", ok=False, found=text, mend=ships)
    return Examination("journal", ok=True, found=text)


def examine_recording(home: Home) -> Examination:
    """What the gateway workers say of their journals."""
    workers = journal_health(home.statistics, datetime.now(UTC))
    if not workers:
        return Examination("recording", ok=True, found="no gateway runs")
    ill = [one for one in workers if one.state != "well"]
    unrecorded = sum(one.unrecorded for one in workers)
    spilled = sum(one.spilled for one in workers)
    told = [f"{one.name} is {one.state}" for one in ill] or [f"{len(workers)} gateways record"]
    if spilled:
        told.append(f"{spilled:,} records went to the second place since 'tsavo up'")
    if unrecorded:
        told.append(f"{unrecorded:,} decisions were answered and not recorded since 'tsavo up'")
    mend = f"make room on, or mend, the disk of {home.journal}; recording resumes by itself"
    return Examination("recording", not ill and not unrecorded, "; ".join(told), mend if ill else "")


def examine_spill(home: Home) -> Examination:
    """Whether the second place is there, and a second place at all."""
    settings = load_settings(home).journal
    if settings.when_full != "spill":
        return Examination("spill", ok=True, found=f"not used: journal.when_full is '{settings.when_full}'")
    spill = Path(settings.spill)
    if not spill.is_dir() or not os.access(spill, os.W_OK):
        return Examination(
            "spill", ok=False, found=f"{spill} is not a folder that can be written",
            mend="mount it, or correct journal.spill, and start Tsavo anew",
        )  # fmt: skip
    if spill.stat().st_dev == home.journal.stat().st_dev:
        return Examination(
            "spill", ok=False, found=f"{spill} is on the same disk as the journal, and fails with it",
            mend="choose a folder on another disk for journal.spill",
        )  # fmt: skip
    free = shutil.disk_usage(spill).free
    return Examination("spill", ok=True, found=f"{spill} has {free / _GIB:.1f} GiB free")


def examine_damage(home: Home) -> Examination:
    """Journals that were damaged, and what was saved of them."""
    reports = damage_reports(home.journal)
    if not reports:
        return Examination("journal damage", ok=True, found="none")
    told = []
    for report in reports:
        saved = "not read yet" if report.salvaged is None else f"{report.salvaged:,} records saved"
        which = ", ".join(f"{first}-{last}" for first, last in report.lost[:5])
        lost = f"{report.lost_records:,} lost" + (f" (numbers {which})" if which else "")
        told.append(f"{Path(report.file).name}: {saved}, {lost} ({report.why})")
    return Examination(
        "journal damage",
        ok=False,
        found="; ".join(told),
        mend="see the disk; restore what is lost from a backup, then move the damaged files and their "
        f"'.json' reports out of {home.journal}",
    )


def examine_gaps(home: Home) -> Examination:
    """Answers that were given and are not recorded, ever."""
    told = []
    for path in journals(home.journal):
        with Journal(path) as journal:
            for gap in journal.gaps():
                first, last = (datetime.fromtimestamp(time / 1e9, UTC) for time in (gap.first, gap.last))
                told.append(
                    f"{gap.decisions:,} decisions from {first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S} UTC"
                )
    if not told:
        return Examination("journal gaps", ok=True, found="none")
    # That it happened cannot be mended; the operator chose it, and the audit trail has it.
    found = f"answered and not recorded: {'; '.join(told[-5:])}"
    return Examination("journal gaps", ok=True, found=found, mend="the console's page Audit has the entries")


def _waiting(path: Path) -> _Waiting:
    with Journal(path) as journal:
        size = journal.size()
        rows = journal.read(max_rows=1).rows if size.rows else []
    since = None
    if rows:
        try:
            since = datetime.fromtimestamp(decode_record(rows[0][1]).time / 1e9, UTC)
        except TsavoError:
            since = None
    return _Waiting(path.name, size.rows, size.bytes, since)


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(30), duration(600), duration(3 * 86400)
    ('30 s', '10 min', '72.0 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
