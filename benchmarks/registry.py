"""The registry at ten thousand models, versions and endpoints: every question that the console, the command line and
the gateways ask, on SQLite and on PostgreSQL.

    python benchmarks/registry.py [--models 10000] [--repeats 60] [--without-postgresql]

There is one version of each model, and one model with a thousand; each endpoint had three routes, and one had five
hundred; a family has as many members as there are models; every change is in the audit trail; every tenth endpoint had
an alert. A question is asked as a request asks it: in a transaction of its own, from names taken at random. PostgreSQL
is one of its own on a socket, started for the purpose. The bar is 20 ms.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tsavo.alerts import count_open, list_alerts, raise_alerts
from tsavo.governance import audit, list_audit
from tsavo.monitors import findings_of
from tsavo.registry import (
    add_model,
    add_version,
    changed_members,
    changed_routes,
    environments_in_use,
    find_by_digest,
    get_model,
    get_route,
    get_version,
    list_members,
    list_models,
    list_routes,
    list_versions,
    migrate,
    newest_revision,
    newest_version,
    newest_versions,
    origins_of,
    route_history,
    routes_by_model,
    save_members,
    save_route,
    versions_after,
)
from tsavo.storage import Connection, Database
from tsavo.vocabulary import (
    Check,
    Field,
    Finding,
    Golden,
    Lineage,
    Member,
    Model,
    Output,
    Plug,
    Reference,
    Route,
    Segments,
    Signature,
    Version,
    VersionRef,
)

BAR_MS = 20.0
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_AT_ONCE = 1_000
_VERSIONS_OF_ONE = 1_000
_ROUTES_OF_ONE = 500


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def version_of(model: str, at: int) -> Version:
    """A version as a registration leaves it, of 20 inputs."""
    fields = tuple(Field(f"column_{n}", "float64", low=-3.25, high=3.25) for n in range(20))
    outputs = (Output("label", "int64"), Output("probabilities", "float64", 2))
    own = digest_of(f"{model} {at}")
    edges = {"missing": 20, "infinite": 40, "thresholds": 400}
    return Version(
        model=model,
        number=0,
        digest=own,
        artifact=own,
        artifact_bytes=40_000,
        runtime="onnx",
        signature=Signature(fields, outputs, "binary", (0, 1)),
        lineage=Lineage(
            registered_by="bench",
            source_name=f"{model}.skops",
            source_format="skops",
            source_digest=own,
            framework="scikit-learn 1.9.1",
            data_digest=own,
            libraries={f"library-{n}": "1.2.3" for n in range(14)},
            python="3.11.7",
        ),
        checks=(
            Check("agreement", True, "answers as the original does on 1000 reference rows", {"edges": edges}),
            Check("load", True, "40000 bytes load in 0.4 ms", {"bytes": 40_000}),
        ),
        created=_NOW,
        reference=Reference(own, 1_000, "target"),
        golden=Golden(own, 200),
    )


def fill(database: Database, count: int) -> None:
    """Write everything, a thousand models in a transaction."""
    for first in range(0, count, _AT_ONCE):
        with database.begin() as connection:
            for at in range(first, min(first + _AT_ONCE, count)):
                _write(connection, at)
    with database.begin() as connection:
        for at in range(_VERSIONS_OF_ONE):
            add_version(connection, version_of("m0", at + 1))
        for _ in range(_ROUTES_OF_ONE):
            save_route(connection, msgspec.structs.replace(get_route(connection, "m0"), changed=_NOW))
        family = msgspec.structs.replace(get_route(connection, "m1"), segments=Segments("store"))
        save_route(connection, family)
        members = [
            Member("m1", f"store {at}", VersionRef(f"m{at}", 1), 0, changed=_NOW) for at in range(count)
        ]
        save_members(connection, "m1", members)
    with database.begin() as connection:
        raise_alerts(connection, [_finding(f"m{at}") for at in range(0, count, 10)], _NOW)


def _write(connection: Connection, at: int) -> None:
    name = f"m{at}"
    add_model(connection, Model(name, owner="bench", created=_NOW))
    version = add_version(connection, version_of(name, 0))
    _record(connection, "version.register", f"version:{version.ref}", {"digest": version.digest})
    route = Route(name, 0, version.ref, changed=_NOW, changed_by="bench")
    for _ in range(3):
        route = save_route(connection, route)
        _record(connection, "endpoint.deploy", f"endpoint:{name}", msgspec.to_builtins(route))
    if at % 100 == 7:
        save_route(connection, msgspec.structs.replace(route, plug=Plug("bench", _NOW)))


def _record(connection: Connection, action: str, subject: str, after: Any) -> None:
    audit(connection, time=_NOW, who="bench", action=action, subject=subject, after=after)


def _finding(endpoint: str) -> Finding:
    return Finding(
        endpoint=endpoint,
        monitor="drift",
        kind="drift",
        subject="",
        version=f"{endpoint}@1",
        alarm=True,
        evidence=1e6,
        threshold=1e4,
        rows=1_000,
        text="the inputs have moved",
        time=_NOW,
    )


class Question(NamedTuple):
    """One question, and who asks it."""

    name: str
    ask: Callable[[Connection, str], Any]


def questions(count: int) -> list[Question]:
    deep = count - 60
    return [
        Question("models, first page", lambda c, n: list_models(c, limit=25)),
        Question("models, last page", lambda c, n: list_models(c, offset=deep, limit=25)),
        Question("models, 500 for a list of all", lambda c, n: list_models(c, offset=deep // 2, limit=500)),
        Question("models, search", lambda c, n: list_models(c, search=n[1:], limit=25)),
        Question("models, search in vain", lambda c, n: list_models(c, search="nothing", limit=25)),
        Question("the console's page of models", _rows_of_models),
        Question("endpoints, first page", lambda c, n: list_routes(c, limit=25)),
        Question("endpoints, last page", lambda c, n: list_routes(c, offset=deep, limit=25)),
        Question("endpoints, 500 for 'tsavo ls'", lambda c, n: list_routes(c, offset=deep // 2, limit=500)),
        Question("endpoints, search", lambda c, n: list_routes(c, search=n[1:], limit=25)),
        Question("endpoints, search in vain", lambda c, n: list_routes(c, search="nothing", limit=25)),
        Question("endpoints, plug pulled", lambda c, n: list_routes(c, plugged=True, limit=25)),
        Question("endpoints, serving", lambda c, n: list_routes(c, plugged=False, limit=25)),
        Question("endpoints, of one model", lambda c, n: list_routes(c, model=n, limit=100)),
        Question("endpoints, newest first", lambda c, n: list_routes(c, order="newest", limit=25)),
        Question("open alerts of 25 endpoints", lambda c, n: count_open(c, [f"m{at}" for at in range(25)])),
        Question("counts of the status page", _status),
        Question("one endpoint's page", _endpoint),
        Question("history of one endpoint", lambda c, n: route_history(c, n, limit=50)),
        Question("history, 500 routes", lambda c, n: route_history(c, "m0", offset=450, limit=50)),
        Question("one model's page", _model),
        Question("a model of 1,000 versions", lambda c, n: list_versions(c, "m0", offset=900, limit=50)),
        Question("one version", lambda c, n: get_version(c, VersionRef(n, 1))),
        Question("newest of 1,000 versions", lambda c, n: newest_version(c, "m0")),
        Question("a version by its digest", lambda c, n: find_by_digest(c, n, digest_of(f"{n} 0"))),
        Question("next 50 versions to verify", lambda c, n: versions_after(c, VersionRef(n, 1), limit=50)),
        Question(
            "250 models, what made them", lambda c, n: origins_of(c, [f"m{at}" for at in range(1, 251)])
        ),
        Question("environments in use", lambda c, n: environments_in_use(c)),
        Question("members of a family, first page", lambda c, n: list_members(c, "m1", limit=50)),
        Question("members of a family, last page", lambda c, n: list_members(c, "m1", offset=deep, limit=50)),
        Question("members of a family, search", lambda c, n: list_members(c, "m1", search=n[1:], limit=50)),
        Question("alerts, open", lambda c, n: list_alerts(c, state="open", limit=25)),
        Question("alerts, all", lambda c, n: list_alerts(c, limit=25)),
        Question("alerts, of one endpoint", lambda c, n: list_alerts(c, endpoint=n, limit=25)),
        Question("audit trail, first page", lambda c, n: list_audit(c, limit=50)),
        Question("audit trail, last page", lambda c, n: list_audit(c, offset=4 * deep, limit=50)),
        Question(
            "audit trail, of one endpoint", lambda c, n: list_audit(c, subject=f"endpoint:{n}", limit=50)
        ),
        Question("a gateway's look, nothing new", _follow),
        Question(
            "a gateway's look, 5 new routes", lambda c, n: changed_routes(c, newest_revision(c) - count - 6)
        ),
    ]


def _rows_of_models(connection: Connection, _name: str) -> None:
    names = [model.name for model in list_models(connection, limit=25).items]
    newest_versions(connection, names)
    routes_by_model(connection, names, limit=3)


def _status(connection: Connection, _name: str) -> None:
    list_routes(connection, limit=1)
    list_routes(connection, plugged=True, limit=1)
    list_models(connection, limit=1)
    list_alerts(connection, state="open", limit=1)


def _endpoint(connection: Connection, name: str) -> None:
    route = get_route(connection, name)
    get_version(connection, route.champion)
    list_alerts(connection, endpoint=name, state="open", limit=50)
    route_history(connection, name, limit=8)


def _model(connection: Connection, name: str) -> None:
    get_model(connection, name)
    list_versions(connection, name, limit=20)
    list_routes(connection, model=name, limit=100)


def _follow(connection: Connection, _name: str) -> None:
    after = newest_revision(connection)
    changed_routes(connection, after)
    changed_members(connection, after)


def taken(database: Database, question: Question, count: int, repeats: int) -> tuple[float, float]:
    """Milliseconds, p50 and p99."""
    chosen = random.Random(0)
    times = []
    for _ in range(repeats):
        name = f"m{chosen.randrange(2, count)}"
        started = time.perf_counter()
        with database.read() as connection:
            question.ask(connection, name)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


@contextmanager
def filled(url: str, count: int) -> Iterator[Database]:
    database = Database(url)
    migrate(database)
    fill(database, count)
    if not url.startswith("sqlite"):
        with database.engine.connect() as connection:
            # As its own daemon does after a while.
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
    yield database
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--without-postgresql", action="store_true")
    chosen = parser.parse_args()
    count = chosen.models
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        databases = {"SQLite": stack.enter_context(filled(f"sqlite:///{folder / 'registry.db'}", count))}
        if not chosen.without_postgresql:
            from tests.postgresql import execute, running_postgresql
            from tests.system_packages import find_postgresql, found_or_installed

            url = stack.enter_context(running_postgresql(found_or_installed(find_postgresql, "postgresql")))
            execute(url, "CREATE DATABASE bench")
            databases["PostgreSQL"] = stack.enter_context(filled(url.format(database="bench"), count))
        print(
            f"{platform.machine()}, {os.cpu_count()} processors, {count:,} models and endpoints; bar {BAR_MS:g} ms"
        )
        print(f"{'milliseconds, p50 / p99':34s}" + "".join(f"{name:>20s}" for name in databases))
        # What writing it all left behind is not what a request has to clean up.
        gc.collect()
        gc.freeze()
        over = 0
        for question in questions(count):
            cells = []
            for database in databases.values():
                middle, worst = taken(database, question, count, chosen.repeats)
                over += middle > BAR_MS
                cells.append(f"{middle:10.2f} / {worst:6.2f}{'!' if middle > BAR_MS else ' '}")
            print(f"{question.name:34s}" + "".join(f"{cell:>20s}" for cell in cells), flush=True)
        gc.unfreeze()
        for name, database in databases.items():
            started = time.perf_counter()
            for at in range(25):
                findings_of(database, f"m{at}")
            print(f"findings of 25 endpoints, {name}: {(time.perf_counter() - started) * 1000:.2f} ms")
        print(f"{over} of {len(questions(count)) * len(databases)} above the bar")


if __name__ == "__main__":
    main()
