"""The monitors that every endpoint gets, from signature, reference and task."""

from __future__ import annotations

from collections.abc import Mapping

from tsavo.monitors.kinds.comparison import ComparisonMonitor
from tsavo.monitors.kinds.context import Monitor, MonitorContext
from tsavo.monitors.kinds.drift import DriftMonitor
from tsavo.monitors.kinds.latency import LatencyMonitor
from tsavo.monitors.kinds.performance import PerformanceMonitor
from tsavo.monitors.kinds.quality import QualityMonitor

__all__ = ["default_monitors", "restore"]


def default_monitors(context: MonitorContext) -> list[Monitor]:
    """Fresh monitors for one endpoint and champion version.

    What cannot be watched (drift without a reference, performance of a task without known losses) is
    there too and stays silent.
    """
    return [
        DriftMonitor(context),
        QualityMonitor(context),
        LatencyMonitor(context),
        PerformanceMonitor(context),
        ComparisonMonitor(context),
    ]


def restore(context: MonitorContext, states: Mapping[str, bytes]) -> list[Monitor]:
    """The monitors of `context` where their states were taken; those without a state start afresh.

    Parameters
    ----------
    states
        Monitor name -> what its ``state()`` gave, under the same context.

    Raises
    ------
    Damaged
        When a state is not that monitor's, or about other columns or metrics.
    """
    monitors = default_monitors(context)
    for monitor in monitors:
        if monitor.name in states:
            monitor.restore(states[monitor.name])
    return monitors
