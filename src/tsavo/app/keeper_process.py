"""The keeper: ships the journals to the lake, looks at the monitors, raises alerts, keeps the lake tidy."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Final

from tsavo.alerts import raise_alerts
from tsavo.app.attesting import Attestor, tell_closed
from tsavo.app.child import Child, report_fault, run_child
from tsavo.app.chores import exports, joining
from tsavo.app.expiring import Expirer
from tsavo.app.forgetting import Forgetter
from tsavo.app.journal_events import JournalEvents
from tsavo.app.journals import open_journal
from tsavo.app.parts import Parts, build_parts
from tsavo.lake import Patience
from tsavo.monitors import Watch
from tsavo.registry import environments_in_use, items_of, list_routes, routes_of
from tsavo.storage import Connection, taking_turns
from tsavo.vocabulary import Damaged, Finding, Route

__all__ = ["Keeper", "main"]

_LOG: Final = logging.getLogger("tsavo.keeper")
_PAGE: Final = 1000
_NICE: Final = 10
# Between two rounds when there is much to do, so that somebody who waits for a turn gets it.
_TURN_SECONDS: Final = 0.01
_UNWANTED_SECONDS: Final = 24 * 3600.0


class Keeper:
    """The background loop of one home."""

    def __init__(self, child: Child) -> None:
        self._settings = child.settings.keeper
        self._parts = build_parts(child.home, child.settings)
        self._events = JournalEvents(child.home, self._parts)
        self._watch = Watch(
            self._parts.database, self._parts.lake, self._parts.artifacts, self._parts.clock, self._raise
        )
        self._patience = Patience(self._settings.commits_per_second, self._settings.hold_seconds)
        folder = child.settings.storage.exports
        self._chores = (
            exports(self._parts, Path(folder) if folder else child.home.exports),
            joining(
                self._parts,
                lambda: open_journal(child.home, child.settings, "keeper", self._parts.clock.nanoseconds),
            ),
        )
        self._attestor = _open_log(child, self._parts)
        self._forgetter = Forgetter(child.home, self._parts, self._ship_all)
        self._expirer = Expirer(self._parts, child.settings.lake.retention)
        self._turn = child.home.lake_turn
        self._stop = threading.Event()
        self._maintained = time.monotonic()
        # After a start nobody knows which endpoints have rows that their monitors have not seen.
        self._behind: set[str] | None = None

    def stop(self) -> None:
        """Leave the loop after the present step."""
        self._stop.set()

    def run(self) -> None:
        """Work until stopped; a round that fails is reported and tried again."""
        failing = False
        for chore in self._chores:
            chore.start()
        while not self._stop.is_set():
            try:
                # A backup waits for the end of a round, and the next round for the moment that it copies.
                with taking_turns(self._turn):
                    busy = self.round()
            except Exception as error:  # a full disk or a locked database must not end the keeper
                report_fault(error)
                failing, busy = True, False
                self._behind = None
            else:
                if failing:
                    report_fault(None)
                failing = False
            self._stop.wait(_TURN_SECONDS if busy else self._settings.ship_seconds)
        for chore in self._chores:
            chore.stop()
        if self._attestor is not None:
            try:
                self._attestor.stop()
            except Exception as error:  # what a full disk keeps from being signed now is signed after a start
                report_fault(error)
        self._parts.database.close()

    def round(self) -> bool:
        """Ship, watch, tidy; return whether there is more to do at once."""
        for event in self._events.round():
            _LOG.error("%s", event)
        more = self._ship(self._patience)
        self._forgetter.round()
        for route in self._routes_to_watch():
            if self._stop.is_set():
                return False
            self._look(route)
        self._behind = set()
        if time.monotonic() - self._maintained > self._settings.maintain_minutes * 60:
            self._expirer.expire()
            self._parts.lake.maintain()
            self._tidy_environments()
            self._maintained = time.monotonic()
        if self._attestor is not None:
            self._attestor.round()
        return more

    def _ship(self, patience: Patience | None) -> bool:
        """Move records to the lake, and note whose monitors have something to see; whether there is more."""
        shipped = self._parts.lake.ship(patience=patience)
        for complaint in shipped.quarantined:
            _LOG.error("a journal record could not be read and was set aside: %s", complaint)
        if self._behind is not None:
            self._behind |= shipped.endpoints
        return shipped.more

    def _ship_all(self) -> None:
        while self._ship(None):
            continue

    def _tidy_environments(self) -> None:
        """Remove environments that no version runs in, once nobody has asked for them for a day."""
        with self._parts.database.read() as connection:
            used = environments_in_use(connection)
        for digest in self._parts.control.environments.collect(used, unwanted_seconds=_UNWANTED_SECONDS):
            _LOG.info("an environment that no version needs was removed: %s", digest)

    def _look(self, route: Route) -> None:
        try:
            while self._watch.look(route) and not self._stop.is_set():
                continue
        except Exception as error:  # one endpoint's monitors must not keep the others from being looked at
            _LOG.exception("the monitors of %s failed: %s", route.endpoint, error)

    def _routes_to_watch(self) -> list[Route]:
        if self._behind is not None and not self._behind:
            return []
        with self._parts.database.read() as connection:
            if self._behind is not None:
                # A few of thousands, mostly.
                return routes_of(connection, self._behind)
            return list(items_of(lambda offset: list_routes(connection, offset=offset, limit=_PAGE)))

    def _raise(self, connection: Connection, findings: list[Finding]) -> None:
        for alert in raise_alerts(connection, findings, self._parts.clock.now()):
            _LOG.warning("alert %s on %s: %s", alert.id, alert.endpoint, alert.text)


def _open_log(child: Child, parts: Parts) -> Attestor | None:
    """The home's log; ``None`` when it is damaged, for decisions go on being kept, watched and acted upon."""
    try:
        return Attestor(child.home, parts.database, parts.lake, parts.clock, child.settings.ledger)
    except Damaged as error:
        _LOG.error("nothing is logged until this is mended: %s", error)
        tell_closed(child.home, parts.clock, error)
        return None


def main() -> None:
    """Entry of ``python -m tsavo.app.keeper_process``."""

    def work(child: Child) -> None:
        # Callers come first: what the keeper does can wait.
        os.nice(_NICE)
        keeper = Keeper(child)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: keeper.stop())
        child.ready()
        keeper.run()

    run_child(work)


if __name__ == "__main__":
    main()
