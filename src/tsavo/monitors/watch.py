"""Runs an endpoint's monitors over what was recorded since they last looked.

The monitors' states, how far they have read, and what they find are saved in one transaction: after a crash the
same rows are read again by monitors that have not seen them, and the result is that of an uninterrupted run.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from tsavo.lake import Lake
from tsavo.monitors.kinds import Monitor, MonitorContext, MonitorPoint, default_monitors, restore
from tsavo.registry import get_version
from tsavo.storage import ArtifactStore, Clock, Connection, Database, JsonText, UtcDateTime, metadata
from tsavo.vocabulary import Finding, Privacy, Route, Version, VersionRef

__all__ = ["Watch", "findings_of"]

_MOST_ROWS: Final = 50_000
# Endpoints whose monitors stay in memory between rounds; others are restored from their saved state.
_MOST_KEPT: Final = 500
_OF_COLUMNS: Final = frozenset({"drift", "quality"})

_watches = sa.Table(
    "watches",
    metadata,
    sa.Column("endpoint", sa.String(100), primary_key=True),
    sa.Column("version", sa.String(120), nullable=False),
    sa.Column("position", JsonText(dict[str, int]), nullable=False),
    sa.Column("labelled", JsonText(dict[str, int]), nullable=False),
    sa.Column("findings", JsonText(list[Finding]), nullable=False),
    sa.Column("changed", UtcDateTime, nullable=False),
)

_states = sa.Table(
    "monitor_states",
    metadata,
    sa.Column("endpoint", sa.String(100), primary_key=True),
    sa.Column("monitor", sa.String(100), primary_key=True),
    sa.Column("state", sa.LargeBinary, nullable=False),
)


class _Watched(msgspec.Struct):
    """The monitors of one endpoint and how far they have read."""

    version: str
    monitors: list[Monitor]
    position: dict[str, int]
    labelled: dict[str, int]


class Watch:
    """Looks after the monitors of all endpoints.

    Parameters
    ----------
    save_findings
        Called with the findings in the transaction that saves the monitors' states; alerts are raised there.
    """

    def __init__(
        self,
        database: Database,
        lake: Lake,
        artifacts: ArtifactStore,
        clock: Clock,
        save_findings: Callable[[Connection, list[Finding]], None],
    ) -> None:
        self._database = database
        self._lake = lake
        self._artifacts = artifacts
        self._clock = clock
        self._save_findings = save_findings
        self._kept: dict[str, _Watched] = {}

    def look(self, route: Route) -> int:
        """Read what is new for one endpoint, once; return how many rows were read (0: nothing is new)."""
        watched = self._watched(route)
        decisions, position = self._lake.new_decisions(route.endpoint, watched.position, _MOST_ROWS)
        labelled, labelled_position = self._lake.new_labelled(route.endpoint, watched.labelled, _MOST_ROWS)
        rows = int(decisions.num_rows + labelled.num_rows)
        moved = position != watched.position or labelled_position != watched.labelled
        if not rows and not moved:
            return 0
        for monitor in watched.monitors:
            if decisions.num_rows:
                monitor.observe(decisions)
            if labelled.num_rows:
                monitor.observe_labelled(labelled)
        watched.position, watched.labelled = position, labelled_position
        try:
            self._save(route.endpoint, watched)
        except BaseException:
            # What is in memory has seen rows that the saved state has not: start again from what is saved.
            self._kept.pop(route.endpoint, None)
            raise
        points = [point for monitor in watched.monitors for point in monitor.points()]
        if points:
            self._lake.append_points([_as_row(point) for point in points])
        return rows

    def _watched(self, route: Route) -> _Watched:
        watching = _watching(route)
        kept = self._kept.pop(route.endpoint, None)
        if kept is None or kept.version != watching:
            kept = self._restored(route, watching)
        # Kept at the end: the first entry is the one that was not used for longest.
        self._kept[route.endpoint] = kept
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return kept

    def _restored(self, route: Route, watching: str) -> _Watched:
        with self._database.read() as connection:
            champion = get_version(connection, route.champion)
            row = connection.execute(
                sa.select(_watches).where(_watches.c.endpoint == route.endpoint)
            ).one_or_none()
            saved = sa.select(_states.c.monitor, _states.c.state).where(_states.c.endpoint == route.endpoint)
            states: dict[str, bytes] = {entry.monitor: entry.state for entry in connection.execute(saved)}
        context = self._context(route, champion)
        if row is None:
            return _Watched(watching, default_monitors(context), {}, {})
        if row.version != watching:
            then, now = row.version.split("|"), watching.split("|")
            # Another challenger starts a comparison of its own; the champion's monitors go on, but for those of
            # columns where other columns can be seen.
            anew = {"comparison"} if then[:1] == now[:1] else set(states)
            if then[2:] != now[2:]:
                anew |= _OF_COLUMNS
            states = {name: state for name, state in states.items() if name not in anew}
        return _Watched(watching, restore(context, states), row.position, row.labelled)

    def _context(self, route: Route, champion: Version) -> MonitorContext:
        reference: pa.Table | None = None
        target = None
        if champion.reference is not None:
            reference = pq.read_table(io.BytesIO(self._artifacts.get(champion.reference.digest)))
            target = champion.reference.target
        shadows = _shadows(route)
        # What is sealed is not looked at: there is nothing to see.
        sealed = frozenset() if route.privacy is None else route.privacy.columns
        inputs = tuple(field for field in champion.signature.inputs if field.name not in sealed)
        if reference is not None:
            reference = reference.drop_columns([name for name in reference.column_names if name in sealed])
        return MonitorContext(
            endpoint=route.endpoint,
            version=champion.ref,
            signature=msgspec.structs.replace(champion.signature, inputs=inputs),
            reference=reference,
            target=target,
            challenger=shadows[0] if shadows else None,
        )

    def _save(self, endpoint: str, watched: _Watched) -> None:
        findings = [finding for monitor in watched.monitors for finding in monitor.findings()]
        values: dict[str, Any] = {
            "version": watched.version,
            "position": watched.position,
            "labelled": watched.labelled,
            "findings": findings,
            "changed": self._clock.now(),
        }
        with self._database.begin() as connection:
            if not connection.execute(
                _watches.update().where(_watches.c.endpoint == endpoint).values(values)
            ).rowcount:
                connection.execute(_watches.insert().values(endpoint=endpoint, **values))
            connection.execute(_states.delete().where(_states.c.endpoint == endpoint))
            connection.execute(
                _states.insert(),
                [
                    {"endpoint": endpoint, "monitor": monitor.name, "state": monitor.state()}
                    for monitor in watched.monitors
                ],
            )
            self._save_findings(connection, findings)


def findings_of(database: Database, endpoint: str) -> list[Finding]:
    """What the monitors of `endpoint` said when they last looked; empty before they ever did."""
    with database.read() as connection:
        query = sa.select(_watches.c.findings).where(_watches.c.endpoint == endpoint)
        row = connection.execute(query).one_or_none()
    return [] if row is None else row.findings


def _watching(route: Route) -> str:
    watching = f"{route.champion}|{'+'.join(map(str, _shadows(route)))}"
    return watching if route.privacy is None else f"{watching}|{_digest(route.privacy)}"


def _digest(privacy: Privacy) -> str:
    return hashlib.sha256("\0".join(sorted(privacy.columns)).encode()).hexdigest()[:8]


def _shadows(route: Route) -> list[VersionRef]:
    """Challengers that score what the champion answers; those with a share answer other requests."""
    return [challenger.version for challenger in route.challengers if challenger.mode == "shadow"]


def _as_row(point: MonitorPoint) -> dict[str, Any]:
    return {name: getattr(point, name) for name in point.__struct_fields__}
