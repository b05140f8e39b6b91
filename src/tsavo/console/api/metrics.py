"""How the log by which tampering is found is doing, for a metrics collector.

The gateway has metrics of its own: the request path knows nothing of the log, and the keeper answers nobody. What the
keeper last said is told here, beside the pages that show the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from litestar import Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tsavo.console.declaring import look
from tsavo.console.parts import ConsoleParts
from tsavo.ledger import LedgerStanding, read_standing

__all__ = ["METRIC_ROUTES"]

# Name without the prefix, unit, what it says, and where it is found; ``None`` is left out.
_GAUGES: Final[tuple[tuple[str, str, str, Callable[[LedgerStanding], float | None]], ...]] = (
    (
        "told_timestamp_seconds",
        "seconds",
        "When the keeper last said how the log is doing, in seconds since 1970 UTC; it does so every few seconds.",
        lambda told: told.told or None,
    ),
    (
        "open",
        "",
        "1 while the keeper writes to the log; 0 when it found it damaged.",
        lambda told: float(not told.closed),
    ),
    ("entries", "", "Entries of the log, signed or not: leaves of its tree.", lambda told: told.entries),
    (
        "unexpected_entries",
        "",
        "Entries about something that somebody else did to the lake, the registry or the audit trail.",
        lambda told: told.unexpected,
    ),
    ("signed_entries", "", "Entries of the newest signed head.", lambda told: told.signed_entries),
    (
        "signed_timestamp_seconds",
        "seconds",
        "When the keeper last signed all there was, or found it signed, in seconds since 1970 UTC.",
        lambda told: told.signed or None,
    ),
    (
        "sign_interval_seconds",
        "seconds",
        "How often it does so (ledger.sign_seconds).",
        lambda told: told.every,
    ),
    (
        "anchored_entries",
        "",
        "Entries of the newest head that is kept elsewhere (ledger.anchor); not there when none is to be.",
        lambda told: told.anchored_entries if told.anchors else None,
    ),
    (
        "anchored_timestamp_seconds",
        "seconds",
        "When the newest signed head was last known to be kept elsewhere, in seconds since 1970 UTC.",
        lambda told: (told.anchored or None) if told.anchors else None,
    ),
)
_COUNTERS: Final[tuple[tuple[str, str, Callable[[LedgerStanding], float]], ...]] = (
    (
        "sign_failures",
        "Heads that could not be signed, since the keeper started.",
        lambda told: told.sign_failures,
    ),
    (
        "anchor_failures",
        "Heads that could not be kept elsewhere, since the keeper started.",
        lambda told: told.anchor_failures,
    ),
)


@look("/metrics", summary="How the log is doing, for a metrics collector")
def metrics(request: Request[Any, Any, Any], parts: ConsoleParts) -> Response[bytes]:
    """OpenMetrics, or Prometheus' text format; no sample before the keeper has said something."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(read_standing(parts.home.run)))
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": content_type})


class _Told(Collector):
    def __init__(self, told: LedgerStanding | None) -> None:
        self._told = told

    def describe(self) -> list[Metric]:
        """Nothing: the registry is made for one answer, and is told of no other collector."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, one after the other."""
        if self._told is None:
            return
        for name, unit, text, value in _GAUGES:
            if (found := value(self._told)) is not None:
                yield GaugeMetricFamily(f"tsavo_ledger_{name}", text, found, unit=unit)
        for name, text, count in _COUNTERS:
            yield CounterMetricFamily(f"tsavo_ledger_{name}", text, count(self._told))


METRIC_ROUTES = [metrics]
