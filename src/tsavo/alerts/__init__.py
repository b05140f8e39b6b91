"""Findings become alerts under an error budget, and people deal with them.

What comes in: findings, and a person's acknowledgement, note or resolution. What goes out: alerts and pages of
them. It must never compute a statistic (monitors do) nor change what serves (actions do).
"""

from tsavo.alerts.lifecycle import acknowledge, count_open, get_alert, list_alerts, raise_alerts, resolve

__all__ = ["acknowledge", "count_open", "get_alert", "list_alerts", "raise_alerts", "resolve"]
