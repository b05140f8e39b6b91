"""Where records go when the first place takes none: refused, to a second place, or answered and flagged.

Which of the three is the operator's choice; that something is wrong is told in any case (`Standing`). The first place
is tried again all the time, and taken again once it works.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Literal, NamedTuple, TypeAlias

from tsavo.journal.log import Log
from tsavo.journal.replies import KeptReply
from tsavo.vocabulary import Unavailable

__all__ = ["UNRECORDED", "Bounds", "Places", "Standing", "State", "WhenFull"]

WhenFull: TypeAlias = Literal["refuse", "spill", "answer-and-flag"]
Flaggable: TypeAlias = Callable[[], tuple[int, list[bytes]]]
State: TypeAlias = Literal["well", "nearly full", "refusing", "spilling", "not recording"]

# What an append comes to that was not recorded and may be answered all the same: the flag to answer with.
UNRECORDED: Final = "unrecorded"

_STATES: Final[dict[WhenFull, State]] = {
    "refuse": "refusing",
    "spill": "spilling",
    "answer-and-flag": "not recording",
}
# After a failure, the first place is tried again so often; each try may cost what a bad disk takes to say no.
_AGAIN_SECONDS: Final = 0.5
_MEASURE_SECONDS: Final = 0.5
_MEASURE_BYTES: Final = 4 << 20
_WARN_SHARE: Final = 0.8
# Once full, so much must be free again before it counts as room: else it would change with each record.
_ROOM_SHARE: Final = 0.95
_GIB: Final = 1 << 30


class Bounds(NamedTuple):
    """How much a journal may take; 0 for no bound.

    Attributes
    ----------
    most_bytes
        Of records and replies in it.
    least_free
        Bytes that stay free on its disk.
    """

    most_bytes: int = 0
    least_free: int = 0


class Standing(NamedTuple):
    """How a journal is doing.

    Attributes
    ----------
    why
        What is wrong, in the disk's own words; empty when nothing is.
    bytes, most_bytes, free_bytes
        What it takes, what it may take (0: no bound), what is free on its disk.
    oldest
        When its oldest record that is not in the lake was made, in nanoseconds since 1970 UTC; 0 for none.
    spilled
        Records that went to the second place since the process started.
    unrecorded, answers
        Decisions that were answered and not recorded since the process started, and the answers that they were in.
    """

    state: State = "well"
    why: str = ""
    bytes: int = 0
    most_bytes: int = 0
    free_bytes: int = 0
    oldest: int = 0
    spilled: int = 0
    unrecorded: int = 0
    answers: int = 0


class Places:
    """The places of one writer.

    Parameters
    ----------
    first
        Where records belong.
    spill
        Where they go with ``spill`` while the first place takes none.
    when_full
        What is done then.
    weigh
        How many decisions a record holds.
    moment
        When a record was made, in nanoseconds since 1970 UTC.
    nanoseconds
        The time.
    """

    def __init__(
        self,
        first: Log,
        spill: Log | None,
        when_full: WhenFull,
        bounds: Bounds,
        *,
        weigh: Callable[[bytes], int],
        moment: Callable[[bytes], int],
        nanoseconds: Callable[[], int],
    ) -> None:
        self.first = first
        self.standing = Standing(most_bytes=bounds.most_bytes)
        self._spill = spill
        self._when_full = when_full
        self._bounds = bounds
        self._weigh = weigh
        self._moment = moment
        self._nanoseconds = nanoseconds
        # The writing thread and whoever appends directly take turns.
        self._turn = threading.Lock()
        self._failure: Unavailable | None = None
        self._again_at = 0.0
        self._measured_at = 0.0
        self._unmeasured = 0
        # What is written takes a few times as much in the log and in the file.
        self._measure_bytes = min([_MEASURE_BYTES, *(bound // 16 for bound in bounds if bound)])
        self._full: Unavailable | None = None
        self._spilled = 0
        self._unrecorded = 0
        self._answers = 0

    def open(self) -> None:
        """Open the first place; one that a bad disk keeps closed is tried again with each group.

        Raises `Unavailable` when its folder is not there, or has no room for a file that is not there yet.
        """
        try:
            self.first.open()
        except Unavailable as error:
            if not self.first.path.exists():
                raise
            self._fails(error)

    def keep(
        self, payloads: list[bytes], replies: Sequence[KeptReply], flaggable: Flaggable = lambda: (0, [])
    ) -> Unavailable | str | None:
        """Write a group, to where it may be written.

        Parameters
        ----------
        flaggable
            How many appends of the group may be answered unrecorded, and their records; asked when it comes to that.

        Returns
        -------
        Unavailable, str or None
            ``None`` when all is on disk. `UNRECORDED` when it is not and may be answered; else why it is not.
        """
        with self._turn:
            failure = self._try_first(payloads, replies)
            if failure is None:
                return None
            if self._when_full == "spill" and self._spill is not None:
                return self._try_spill(self._spill, payloads, replies, failure)
            if self._when_full == "answer-and-flag":
                return self._flag(*flaggable()) or failure
            return failure

    def rest(self, rows: int | None = None) -> None:
        """Remove what is no longer needed, measure, and try again what failed; between groups, or when idle."""
        with self._turn:
            for log in self._logs():
                if rows is None:
                    log.tidy()
                else:
                    log.tidy(rows)
            # What a process that was killed had noted is written even if no record comes for long.
            owed = self._failure is not None or self.first.notes.gap is not None
            if owed and time.monotonic() >= self._again_at:
                self._try_first([], ())
            elif time.monotonic() >= self._measured_at + _MEASURE_SECONDS:
                self._measure()

    @property
    def behind(self) -> bool:
        """Whether there is more to remove."""
        return any(log.behind for log in self._logs())

    def close(self) -> None:
        """Close all files."""
        with self._turn:
            for log in self._logs():
                log.close()

    def _logs(self) -> tuple[Log, ...]:
        spill = self._spill
        return (self.first,) if spill is None or not spill.journal_id else (self.first, spill)

    def _try_first(self, payloads: list[bytes], replies: Sequence[KeptReply]) -> Unavailable | None:
        failure = self._failure
        # Refusing means to ask each time; else a disk that takes long to fail must not hold up what has another way.
        if failure is not None and self._when_full != "refuse" and time.monotonic() < self._again_at:
            return failure
        try:
            if not self.first.journal_id:
                self.first.open()
            full = self._is_full(payloads)
            if full is not None:
                raise full
            before = self.first.journal_id
            try:
                if payloads:
                    self.first.commit(payloads, replies)
                else:
                    self.first.probe()
            except Unavailable:
                # A damaged file was set aside meanwhile: the new one takes it.
                if self.first.journal_id == before:
                    raise
                self.first.commit(payloads, replies)
        except Unavailable as error:
            self._fails(error)
            return error
        if failure is not None:
            self._failure = None
            with suppress(Unavailable):
                self.first.renew_notes()
            self._measured_at = 0.0
            self._say()
        return None

    def _fails(self, error: Unavailable) -> None:
        self._failure = error
        self._again_at = time.monotonic() + _AGAIN_SECONDS
        self._say()

    def _flag(self, answers: int, payloads: list[bytes]) -> str:
        """Count what is about to be answered unrecorded; before anybody is answered."""
        if not answers:
            return ""
        decisions = sum(map(self._weigh, payloads))
        self.first.notes.unrecorded(answers, decisions, self._nanoseconds())
        self._unrecorded += decisions
        self._answers += answers
        self._say()
        return UNRECORDED

    def _try_spill(
        self, spill: Log, payloads: list[bytes], replies: Sequence[KeptReply], failure: Unavailable
    ) -> Unavailable | None:
        try:
            if not spill.journal_id:
                spill.enter()
                spill.open()
            full = self._room(spill, sum(map(len, payloads)))
            if full is not None:
                raise full
            spill.commit(payloads, replies)
        except (Unavailable, OSError) as error:
            self._fails(failure)
            return error if isinstance(error, Unavailable) else failure
        self._spilled += len(payloads)
        self._say()
        return None

    def _is_full(self, payloads: Sequence[bytes]) -> Unavailable | None:
        """Why the first place may take no more; looked at now and then, and before much was written."""
        size = sum(map(len, payloads))
        self._unmeasured += size
        if (
            self._full is not None
            or self._unmeasured >= self._measure_bytes
            or time.monotonic() >= self._measured_at + _MEASURE_SECONDS
        ):
            self._measure()
            self._full = self._room(self.first, size)
        return self._full

    def _room(self, log: Log, size: int) -> Unavailable | None:
        most, least = self._bounds
        share = 1.0 if self._full is None else _ROOM_SHARE
        try:
            free = shutil.disk_usage(log.path.parent).free
            # Records that fit into pages that were freed take nothing from the disk.
            if least and (free - size) * share < least and (free + log.room() - size) * share < least:
                return _too_little_free(log, free, least)
            if most and log is self.first and (used := log.used()) + size > most * share:
                return _reached(log, used, most)
        except (sqlite3.Error, OSError):
            # Whether it can be written is found out by writing.
            return None
        return None

    def _measure(self) -> None:
        self._measured_at = time.monotonic()
        self._unmeasured = 0
        self._say(measured=True)

    def _say(self, *, measured: bool = False) -> None:
        """Tell how it is: one assignment, which other threads see whole."""
        told = self.standing
        if measured:
            with suppress(sqlite3.Error, OSError):
                oldest = self.first.oldest()
                told = told._replace(
                    bytes=self.first.used(),
                    free_bytes=shutil.disk_usage(self.first.path.parent).free,
                    oldest=0 if oldest is None else self._moment(oldest),
                )
        failure = self._failure
        state: State = "well"
        why = ""
        if failure is not None:
            why = failure.reason
            state = _STATES[self._when_full]
        elif (why := self._nearly(told)) != "":
            state = "nearly full"
        self.standing = told._replace(
            state=state, why=why, spilled=self._spilled, unrecorded=self._unrecorded, answers=self._answers
        )

    def _nearly(self, told: Standing) -> str:
        most, least = self._bounds
        if most and told.bytes > most * _WARN_SHARE:
            return f"{told.bytes / _GIB:.2f} of at most {most / _GIB:.2f} GiB wait to be shipped"
        if least and 0 < told.free_bytes < least / _WARN_SHARE:
            return f"{told.free_bytes >> 20} MiB are free on its disk, and {least >> 20} MiB are to stay free"
        return ""


def _reached(log: Log, used: int, most: int) -> Unavailable:
    return Unavailable(
        "the journal is as large as it may be",
        field="journal.most_gib",
        found=f"{used / _GIB:.3f} GiB in {log.path}",
        expected=f"at most {most / _GIB:g} GiB that are not in the lake yet",
        next_step="see why the keeper does not ship ('tsavo doctor'), or raise journal.most_gib",
        retry_after=5.0,
    )


def _too_little_free(log: Log, free: int, least: int) -> Unavailable:
    return Unavailable(
        "too little is free on the journal's disk",
        field="journal.least_free_mib",
        found=f"{free >> 20} MiB free at {log.path.parent}",
        expected=f"at least {least >> 20} MiB",
        next_step="make room on that disk; recording resumes by itself",
        retry_after=5.0,
    )
