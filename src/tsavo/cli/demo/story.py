"""The story, chapter by chapter, against a running Tsavo."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from tsavo.cli.demo.flights import FEATURES, TARGET, fit, load_flights, months
from tsavo.cli.demo.replay import Replay
from tsavo.cli.demo.telling import Teller
from tsavo.vocabulary import Alert, Finding, Unavailable

__all__ = ["Story"]

NAME: Final = "flight-late"
_WAIT_SECONDS: Final = 60.0
_JUNE_DAYS: Final = 21


class Story:
    """Runs the demo.

    Parameters
    ----------
    client
        A connected client of the running Tsavo.
    """

    def __init__(self, client: Any, teller: Teller) -> None:
        self._client = client
        self._tell = teller
        self._endpoint: Any = None
        self._replay: Any = None
        self._known_alerts: set[int] = set()
        self._flights: Any = None

    def tell(self) -> None:
        """All chapters in order."""
        self._train_and_register()
        self._deploy()
        self._spring()
        self._why_the_alarm()
        self._retrain()
        self._june()
        self._switch()
        self._rest_of_june()
        self._plug()
        self._count()

    def _train_and_register(self) -> None:
        tell = self._tell
        tell.chapter("A model is trained, outside Tsavo, the ordinary way")
        self._flights = load_flights()
        tell.line(
            f"{len(self._flights):,} flights that left New York City in 2013 and arrived. The question:"
        )
        tell.line("will this flight arrive 15 or more minutes late, judged when it leaves the gate?")
        winter = months(self._flights, 1, 3)
        held_out = winter.sample(frac=0.3, random_state=1).index
        train, reference = winter.drop(held_out), winter.loc[held_out]
        started = time.perf_counter()
        model = fit(train)
        tell.line(
            f"A scikit-learn pipeline is fitted on {len(train):,} flights of January to March "
            f"({time.perf_counter() - started:.1f} s). {len(reference):,} others are kept as reference."
        )
        tell.chapter("Registered: checked and compiled in a process of its own")
        version = self._register(model, reference)
        for check in version.checks:
            tell.line(f"{'✓' if check.passed else '✗'} {check.name}: {check.summary}")

    def _register(self, model: Any, reference: Any) -> Any:
        started = time.perf_counter()
        registered = self._client.register(
            model,
            name=NAME,
            reference=reference[[*FEATURES, TARGET]],
            target=TARGET,
            brief={
                "problem": "Will this flight arrive 15 or more minutes late?",
                "decision": "Rebook connecting passengers when the plane leaves the gate",
            },
        )
        version = registered.version
        self._tell.line(
            f"{version.ref}, digest {version.digest[:12]}…, {version.artifact_bytes / 1024:.0f} KiB, "
            f"in {time.perf_counter() - started:.1f} s."
        )
        return version

    def _deploy(self) -> None:
        tell = self._tell
        tell.chapter("Deployed: one endpoint, every decision on disk before its answer goes out")
        started = time.perf_counter()
        self._endpoint = self._client.deploy(NAME)
        first = months(self._flights, 4, 4).iloc[:1]
        flight = first.iloc[0]
        scores = self._patiently(lambda: self._endpoint.score(first[FEATURES]))
        tell.line(f"Answering {time.perf_counter() - started:.2f} s after 'deploy'. The first decision:")
        tell.line(
            f"  {flight['carrier']} from {flight['origin']}, left {flight['dep_delay']:+.0f} minutes: "
            f"late with probability {scores.outputs['probabilities'][0][1]:.3f}, decision {scores.decision_ids[0]}"
        )
        self._replay = Replay(self._endpoint)
        self._replay.answered += 1

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """Ask until the gateway has seen the new route, which takes it a fraction of a second."""
        from tsavo.vocabulary import NotFound

        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                return ask()
            except NotFound:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _spring(self) -> None:
        tell = self._tell
        spring = months(self._flights, 4, 5).iloc[1:]
        tell.chapter(
            f"April and May come as live traffic: {len(spring):,} flights, one request per hour of departures"
        )
        tell.line(
            "Arrivals become known a day later and are sent as outcomes. The monitors look at every row."
        )
        self._run(spring)
        self._replay.finish()
        self._catch_up()
        self._new_alerts("by the end of May")

    def _run(self, flights: Any) -> None:
        before, started = self._replay.answered, time.perf_counter()
        with self._tell.progress(len(flights)) as advance:

            def each_day(date: str) -> None:
                advance(self._replay.answered - before, date)
                self._new_alerts(f"on {date}, after {self._replay.answered:,} decisions")

            self._replay.run(flights, each_day)
        seconds = time.perf_counter() - started
        self._tell.line(
            f"{self._replay.answered - before:,} decisions answered in {seconds:.0f} s over HTTP, each recorded first."
        )

    def _new_alerts(self, when: str) -> None:
        for alert in self._alerts():
            if alert.id not in self._known_alerts:
                self._known_alerts.add(alert.id)
                self._tell.alert(f"ALERT {alert.id} {when}: {alert.text}")

    def _alerts(self) -> list[Alert]:
        return sorted(self._client.alerts(endpoint=NAME), key=lambda alert: alert.id)

    def _catch_up(self) -> None:
        """Wait until the keeper has shipped and watched all that was recorded."""
        deadline = time.monotonic() + _WAIT_SECONDS
        wanted = self._replay.outcomes
        while time.monotonic() < deadline:
            seen = max((finding.rows for finding in self._findings("performance")), default=0)
            if seen >= self._champion_outcomes(wanted):
                return
            time.sleep(0.2)
        raise Unavailable("the keeper did not catch up", next_step="see keeper.log in the home's logs folder")

    def _champion_outcomes(self, wanted: int) -> int:
        answer = self._client.sql(
            f"select count(*) as n from \"{NAME}\" where outcome is not null and role = 'champion' "  # noqa: S608
            f"and model || '@' || version = '{self._endpoint.route.champion}'"
        )
        return min(wanted, int(answer.column("n")[0].as_py()))

    def _findings(self, kind: str) -> list[Finding]:
        return [finding for finding in self._endpoint.findings() if finding.kind == kind]

    def _why_the_alarm(self) -> None:
        tell = self._tell
        tell.chapter("What the monitors say, in plain words")
        for finding in self._findings("drift"):
            if finding.alarm or (finding.evidence or 0) > 1000:
                tell.line(f"  {finding.text}")
        for finding in self._findings("performance"):
            tell.line(f"  {finding.text}")
        alerts = [alert for alert in self._alerts() if alert.state == "open"]
        if alerts:
            note = "Spring weather is new to this model; retraining."
            self._client.ack(alerts[0].id, note=note)
            tell.line(f"Alert {alerts[0].id} is acknowledged, with a note: '{note}'")

    def _retrain(self) -> None:
        tell = self._tell
        tell.chapter("Retrained on what Tsavo itself recorded, and set beside the champion as its shadow")
        query = f"select * from \"{NAME}\" where outcome is not null and role = 'champion'"  # noqa: S608
        recorded = self._client.sql(query, limit=1_000_000).to_pandas()
        recorded[TARGET] = recorded["outcome"].astype("int64")
        tell.line(f"{len(recorded):,} decisions with their outcomes come back by SQL: {query}")
        held_out = recorded.sample(frac=0.3, random_state=2).index
        version = self._register(fit(recorded.drop(held_out)), recorded.loc[held_out])
        self._client.deploy(str(version.ref), endpoint=NAME, shadow=True)
        tell.line(f"{version.ref} now scores every request too. Callers do not see it.")
        time.sleep(0.5)

    def _june(self) -> None:
        tell = self._tell
        june = months(self._flights, 6, 6)
        june = june[june["day"] <= _JUNE_DAYS]
        tell.chapter(
            f"The first three weeks of June: {len(june):,} flights, champion and shadow on the same decisions"
        )
        self._run(june)
        self._replay.finish()
        self._catch_up()
        self._await_comparison()
        self._new_alerts("by 21 June")
        for kind in ("performance", "comparison"):
            for finding in self._findings(kind):
                tell.line(f"  {finding.text}")

    def _await_comparison(self) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline and not any(
            finding.rows for finding in self._findings("comparison")
        ):
            time.sleep(0.2)

    def _switch(self) -> None:
        tell = self._tell
        tell.chapter("The switch")
        route = self._endpoint.promote(why="better on the same decisions of June")
        row = months(self._flights, 6, 6).iloc[-1:]
        took = self._until(row, lambda scores: scores.versions[0] == str(route.champion))
        tell.line(
            f"{route.champion} is the champion; answers came from it {took * 1000:.0f} ms after 'promote' returned."
        )

    def _rest_of_june(self) -> None:
        tell = self._tell
        june = months(self._flights, 6, 6)
        june = june[june["day"] > _JUNE_DAYS]
        tell.chapter(
            f"The rest of June under the new champion: {len(june):,} flights, watched from a fresh start"
        )
        self._run(june)
        self._replay.finish()
        self._catch_up()
        self._new_alerts("by the end of June")
        for finding in self._findings("performance"):
            tell.line(f"  {finding.text}")

    def _until(self, row: Any, done: Callable[[Any], bool]) -> float:
        started = time.perf_counter()
        while time.perf_counter() - started < _WAIT_SECONDS:
            scores = self._endpoint.score(row[FEATURES])
            self._replay.answered += 1
            if done(scores):
                return time.perf_counter() - started
        raise Unavailable(
            "the gateway did not follow the new route", next_step="see gateway-0.log in the home"
        )

    def _plug(self) -> None:
        tell = self._tell
        tell.chapter("The plug")
        row = months(self._flights, 6, 6).iloc[-1:]
        self._endpoint.plug(why="fire drill of the demo")
        took = self._until(row, lambda scores: scores.roles[0] == "fallback")
        scores = self._endpoint.score(row[FEATURES])
        self._replay.answered += 1
        tell.line(
            f"Pulled. After {took * 1000:.0f} ms the fallback answers: {scores.versions[0]}, "
            f"role '{scores.roles[0]}', labelled '{scores.flags[0][0]}'."
        )
        self._endpoint.unplug(why="fire drill over")
        took = self._until(row, lambda scores: scores.roles[0] == "champion")
        tell.line(f"Put back. After {took * 1000:.0f} ms the champion answers again.")

    def _count(self) -> None:
        tell = self._tell
        tell.chapter("Nothing was lost")
        answer = self._client.sql(
            f"select role, version, count(*) as decisions, count(distinct decision_id) as ids "  # noqa: S608
            f'from "{NAME}" group by all order by 1, 2'
        )
        rows = answer.to_pylist()
        for row in rows:
            tell.line(f"  {row['role']:<9} {NAME}@{row['version']}  {row['decisions']:>8,} decisions")
        recorded = sum(row["decisions"] for row in rows if row["role"] != "shadow")
        tell.line(f"{self._replay.answered:,} decisions were answered; {recorded:,} are recorded.")
        if recorded != self._replay.answered:
            raise Unavailable("the journal and the answers do not agree", next_step="please report this")
