"""Replays flights as live traffic: one HTTP request per hour of departures, outcomes a day later."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from tsavo.cli.demo.flights import FEATURES, TARGET

__all__ = ["Replay"]

_OUTCOME_DAYS: Final = 1
# Four days pass in a second: slow enough that the monitors can be watched while they find something.
_DAY_SECONDS: Final = 0.25


class Replay:
    """Sends flights to an endpoint in time order.

    Parameters
    ----------
    endpoint
        The client's handle of the endpoint.
    """

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint
        self._waiting: deque[tuple[int, list[str], list[int]]] = deque()
        self._day = 0
        self.answered = 0
        self.requests = 0
        self.outcomes = 0

    def run(self, flights: Any, each_day: Callable[[str], None]) -> None:
        """Score all `flights`; call `each_day` with the date after each day.

        Parameters
        ----------
        flights
            Table as `load_flights` gives it, in order of departure.
        """
        for date, day in flights.groupby(flights["time_hour"].str[:10], sort=True):
            due = time.monotonic() + _DAY_SECONDS
            ids: list[str] = []
            for _, hour in day.groupby("time_hour", sort=True):
                scores = self._endpoint.score(hour[FEATURES])
                ids.extend(scores.decision_ids)
                self.requests += 1
            self.answered += len(ids)
            self._day += 1
            self._waiting.append((self._day, ids, day[TARGET].tolist()))
            self._send_outcomes(before=self._day - _OUTCOME_DAYS + 1)
            each_day(str(date))
            time.sleep(max(0.0, due - time.monotonic()))

    def finish(self) -> None:
        """Send the outcomes that are still due."""
        self._send_outcomes(before=self._day + 1)

    def _send_outcomes(self, before: int) -> None:
        while self._waiting and self._waiting[0][0] < before:
            _, ids, happened = self._waiting.popleft()
            self._endpoint.outcomes({"decision_id": ids, "outcome": happened})
            self.outcomes += len(ids)
