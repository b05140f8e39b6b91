"""What the gateway workers counted, as OpenMetrics or in Prometheus' text format.

Specifications: OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/) and Prometheus' text format
0.0.4. Endpoints have names of their own (``tsavo_endpoint_…``), so that a sum over ``tsavo_requests_total`` counts
nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    Sample,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tsavo.endpoints.figures import Counted, Figures, WorkerFigures
from tsavo.endpoints.statistics_file import BOUNDS_NS, JOURNAL_STATES

__all__ = ["exposition"]

_SECOND: Final = 1e9
_SAMPLES_AT_ONCE: Final = 16
_PAUSE_SECONDS: Final = 50e-6
_BOUNDS: Final = (*(repr(bound / _SECOND) for bound in BOUNDS_NS), "+Inf")

# Name without the prefix, unit, what it says, and where it is found. "Requests" are those that reached an endpoint.
_COUNTERS: Final[tuple[tuple[str, str, str, Callable[[Counted], float]], ...]] = (
    ("requests", "", "Requests, answered or not.", lambda counted: counted.requests),
    ("rows", "", "Rows in answered requests.", lambda counted: counted.rows),
    (
        "inference_seconds",
        "seconds",
        "Time that models took for answered requests.",
        lambda counted: counted.infer_ns / _SECOND,
    ),
    (
        "fallback_answers",
        "",
        "Answers given by a fallback instead of the champion.",
        lambda counted: counted.fallbacks,
    ),
    (
        "shadow_requests",
        "",
        "Requests that a shadow challenger scored.",
        lambda counted: counted.shadow_requests,
    ),
    ("shadow_rows", "", "Rows that shadow challengers scored.", lambda counted: counted.shadow_rows),
    (
        "shadows_skipped",
        "",
        "Requests that a shadow challenger did not score: too much waited for it, or it failed.",
        lambda counted: counted.shadows_skipped,
    ),
)
_FAILURES: Final = "Requests that got no answer, by kind."
_LATENCY: Final = "Time from a decoded request until its decision is on disk, for answered requests."

_GAUGES: Final[tuple[tuple[str, str, str, Callable[[WorkerFigures], float | None]], ...]] = (
    (
        "start_time_seconds",
        "seconds",
        "When the worker started, in seconds since 1970 UTC.",
        lambda worker: worker.started_ns / _SECOND,
    ),
    (
        "reported_timestamp_seconds",
        "seconds",
        "When the worker last said how it is doing, in seconds since 1970 UTC; it does so once a second.",
        lambda worker: worker.pulse_ns / _SECOND,
    ),
    (
        "resident_memory_bytes",
        "bytes",
        "Memory of the worker process.",
        lambda worker: worker.resident_bytes,
    ),
    ("requests_in_flight", "", "Requests that wait for their answer.", lambda worker: worker.in_flight),
    (
        "journal_queue_records",
        "",
        "Decisions that wait to be written to the journal.",
        lambda worker: worker.journal_pending,
    ),
    (
        "journal_bytes",
        "bytes",
        "What waits in the journal to be shipped to the lake.",
        lambda worker: worker.journal.bytes,
    ),
    (
        "journal_most_bytes",
        "bytes",
        "What may wait in the journal (journal.most_gib); 0 for no bound.",
        lambda worker: worker.journal.most_bytes,
    ),
    (
        "journal_free_bytes",
        "bytes",
        "What is free on the journal's disk.",
        lambda worker: worker.journal.free_bytes,
    ),
    (
        "journal_oldest_timestamp_seconds",
        "seconds",
        "When the oldest record that is not in the lake was made, in seconds since 1970 UTC; not there when all are.",
        lambda worker: worker.journal.oldest / _SECOND or None,
    ),
    ("loaded_versions", "", "Versions in memory.", lambda worker: worker.loaded_versions),
    (
        "loaded_versions_bytes",
        "bytes",
        "Memory of the loaded versions, about.",
        lambda worker: worker.loaded_bytes,
    ),
    (
        "route_revision",
        "",
        "Revision of the newest route that the worker follows.",
        lambda worker: worker.revision,
    ),
)


def exposition(
    figures: Figures, endpoints: Sequence[str], known: int, accept: str | None
) -> tuple[bytes, str]:
    """The metrics, and their content type, in the format that an ``Accept`` header asks for.

    Parameters
    ----------
    endpoints
        Those that are told of one by one; the totals are over all.
    known
        How many endpoints there are.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(figures, endpoints, known))
    encode, content_type = choose_encoder(accept or "")
    return encode(registry), content_type


class _InParts(list[Sample]):
    """Samples that are written with pauses, in which the thread that answers requests gets its turn.

    A thread that computes without a pause holds Python's global lock for 5 ms whenever it gets it.
    """

    def __iter__(self) -> Iterator[Sample]:
        for at, sample in enumerate(super().__iter__()):
            if at % _SAMPLES_AT_ONCE == _SAMPLES_AT_ONCE - 1:
                time.sleep(_PAUSE_SECONDS)
            yield sample


class _Collected(Collector):
    def __init__(self, figures: Figures, endpoints: Sequence[str], known: int) -> None:
        self._figures = figures
        self._total = figures.total()
        self._endpoints = [(name, figures.endpoint(name)) for name in endpoints]
        self._known = known

    def describe(self) -> list[Metric]:
        """Nothing: the registry is made for one answer, and is told of no other collector."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, one after the other."""
        for family in chain(self._of_all(), _of_workers(self._figures.workers), self._of_endpoints()):
            family.samples = _InParts(family.samples)
            yield family

    def _of_all(self) -> Iterator[Metric]:
        total, workers = self._total, self._figures.workers
        yield GaugeMetricFamily("tsavo_endpoints", "Endpoints that there are.", self._known)
        for name, unit, text, value in _COUNTERS:
            yield CounterMetricFamily(f"tsavo_{name}", text, value(total), unit=unit)
        failures = CounterMetricFamily("tsavo_failures", _FAILURES, labels=["kind"])
        for kind, count in total.failed.items():
            failures.add_metric([kind], count)
        yield failures
        yield CounterMetricFamily(
            "tsavo_unknown_endpoint_requests",
            "Requests to endpoints that there are not; they are in no other figure.",
            sum(worker.unknown for worker in workers),
        )
        yield CounterMetricFamily(
            "tsavo_refused_requests",
            "Requests refused before they reached an endpoint, such as what is not JSON; they are in no other figure.",
            sum(worker.refused for worker in workers),
        )
        yield CounterMetricFamily(
            "tsavo_turned_away_requests",
            "Requests that were not read because too many were there already; they are in no other figure.",
            sum(worker.turned_away for worker in workers),
        )
        yield CounterMetricFamily(
            "tsavo_version_evictions",
            "Versions that were let go of to make room for others.",
            sum(worker.evictions for worker in workers),
        )
        yield CounterMetricFamily(
            "tsavo_journal_records",
            "Decisions of requests that were written to the journal, those of shadows included.",
            total.answered + total.shadow_requests - sum(worker.journal.answers for worker in workers),
        )
        yield CounterMetricFamily(
            "tsavo_unrecorded_decisions",
            "Decisions that were answered and not recorded, because the disk took nothing (journal.when_full).",
            sum(worker.journal.unrecorded for worker in workers),
        )
        yield CounterMetricFamily(
            "tsavo_spilled_records",
            "Records that went to the second place, because the disk took nothing (journal.when_full).",
            sum(worker.journal.spilled for worker in workers),
        )
        latency = HistogramMetricFamily("tsavo_request_seconds", _LATENCY, unit="seconds")
        latency.add_metric([], *_histogram(total))
        yield latency

    def _of_endpoints(self) -> Iterator[Metric]:
        for name, unit, text, value in _COUNTERS:
            family = CounterMetricFamily(f"tsavo_endpoint_{name}", text, labels=["endpoint"], unit=unit)
            for endpoint, counted in self._endpoints:
                family.add_metric([endpoint], value(counted))
            yield family
        failures = CounterMetricFamily("tsavo_endpoint_failures", _FAILURES, labels=["endpoint", "kind"])
        latency = HistogramMetricFamily(
            "tsavo_endpoint_request_seconds", _LATENCY, labels=["endpoint"], unit="seconds"
        )
        last = GaugeMetricFamily(
            "tsavo_endpoint_last_request_timestamp_seconds",
            "When the last request came to its end, in seconds since 1970 UTC.",
            labels=["endpoint"],
            unit="seconds",
        )
        for endpoint, counted in self._endpoints:
            for kind, count in counted.failed.items():
                failures.add_metric([endpoint, kind], count)
            latency.add_metric([endpoint], *_histogram(counted))
            if counted.last_ns:
                last.add_metric([endpoint], counted.last_ns / _SECOND)
        yield failures
        yield last
        yield latency


def _of_workers(workers: Sequence[WorkerFigures]) -> Iterator[Metric]:
    starts = CounterMetricFamily(
        "tsavo_gateway_starts", "Starts of a gateway worker since 'tsavo up'.", labels=["worker"]
    )
    for worker in workers:
        starts.add_metric([worker.worker], worker.starts)
    yield starts
    for name, unit, text, value in _GAUGES:
        family = GaugeMetricFamily(f"tsavo_gateway_{name}", text, labels=["worker"], unit=unit)
        for worker in workers:
            if (told := value(worker)) is not None:
                family.add_metric([worker.worker], told)
        yield family
    yield _states(workers)


def _states(workers: Sequence[WorkerFigures]) -> Metric:
    """One sample for each worker and state: 1 for the state that it is in, as alerting rules like it."""
    family = GaugeMetricFamily(
        "tsavo_gateway_journal_state",
        "Whether recording works: 1 for the state that the journal is in, 0 for the others.",
        labels=["worker", "state"],
    )
    for worker in workers:
        for state in JOURNAL_STATES:
            family.add_metric([worker.worker, state], float(worker.journal.state == state))
    return family


def _histogram(counted: Counted) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets, and the sum in seconds."""
    buckets, so_far = [], 0
    for bound, count in zip(_BOUNDS, counted.buckets, strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    return buckets, counted.total_ns / _SECOND
