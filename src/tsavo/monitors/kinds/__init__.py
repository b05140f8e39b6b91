"""The monitors themselves: from recorded rows to findings, fed by `monitors.watch`.

What comes in: decisions and labelled decisions as Arrow tables, in the order in which they arrived, in
batches of any size. What goes out: findings (what moved, since when, how sure), points for charts, and a
compact state per monitor. It must never fetch rows itself, read a clock, or decide who is told.
"""

from tsavo.monitors.kinds.comparison import ComparisonMonitor
from tsavo.monitors.kinds.context import Monitor, MonitorContext, MonitorPoint, MonitorSettings
from tsavo.monitors.kinds.defaults import default_monitors, restore
from tsavo.monitors.kinds.drift import DriftMonitor
from tsavo.monitors.kinds.latency import LatencyMonitor
from tsavo.monitors.kinds.performance import PerformanceMonitor
from tsavo.monitors.kinds.quality import QualityMonitor

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
    "default_monitors",
    "restore",
]
