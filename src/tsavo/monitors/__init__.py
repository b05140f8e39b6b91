"""Turn recorded data into findings.

What comes in: decisions and labelled decisions as Arrow tables from the lake, in the order in which they
arrived, in batches of any size. What goes out: findings, points for charts, and a compact state per monitor.
It must never read a live endpoint, change what serves, or decide who is told.
"""

from tsavo.monitors.kinds import (
    ComparisonMonitor,
    DriftMonitor,
    LatencyMonitor,
    Monitor,
    MonitorContext,
    MonitorPoint,
    MonitorSettings,
    PerformanceMonitor,
    QualityMonitor,
    default_monitors,
    restore,
)
from tsavo.monitors.watch import Watch, findings_of

__all__ = [
    "ComparisonMonitor",
    "DriftMonitor",
    "LatencyMonitor",
    "Monitor",
    "MonitorContext",
    "MonitorPoint",
    "MonitorSettings",
    "PerformanceMonitor",
    "QualityMonitor",
    "Watch",
    "default_monitors",
    "findings_of",
    "restore",
]
