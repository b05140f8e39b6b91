"""Decisions as the lake hands them out, made from columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tsavo.monitors.kinds import Monitor, MonitorContext, MonitorPoint, default_monitors, restore
from tsavo.vocabulary import Field, Finding, Output, Signature, VersionRef

START_US = 1_700_000_000_000_000
CHAMPION = VersionRef("late", 1)


def decisions(
    features: Mapping[str, Any],
    *,
    first: int = 0,
    prediction: Mapping[str, Any] | None = None,
    outcome: Any = None,
    role: str = "champion",
    version: VersionRef = CHAMPION,
    latency_us: Any = 200,
    step_us: int = 100_000,
) -> pa.Table:
    """One-row requests, numbered from `first`, `step_us` apart."""
    n = len(next(iter(features.values())))
    rows = np.arange(first, first + n)
    columns: dict[str, Any] = {
        "decision_id": [f"0197f0a0-0000-7000-8000-{row:012d}:0" for row in rows],
        "time": pa.array(START_US + rows * step_us, pa.timestamp("us", tz="UTC")),
        "endpoint": ["flights"] * n,
        "model": [version.model] * n,
        "version": pa.array([version.number] * n, pa.int32()),
        "role": [role] * n,
        "latency_us": pa.array(np.broadcast_to(latency_us, n).astype(np.int64)),
        "flags": pa.array([[]] * n, pa.list_(pa.string())),
        "features": struct(features),
        "prediction": struct(
            prediction if prediction is not None else {"label": np.zeros(n, dtype=np.int64)}
        ),
    }
    if outcome is not None:
        columns["outcome"] = outcome
    return pa.table(columns)


def struct(columns: Mapping[str, Any]) -> pa.StructArray:
    """A struct column; matrices [n, k] become lists of width k."""
    arrays = []
    for values in columns.values():
        matrix = isinstance(values, np.ndarray) and values.ndim == 2
        arrays.append(pa.array(list(values)) if matrix else pa.array(values))
    return pa.StructArray.from_arrays(arrays, names=list(columns))


def signature(fields: Sequence[Field], classes: tuple[Any, ...] | None = (0, 1)) -> Signature:
    """Of a classifier with `classes`, or of a regression without."""
    if classes is None:
        return Signature(tuple(fields), (Output("value", "float64"),), "regression")
    outputs = (Output("label", "int64"), Output("probabilities", "float32", len(classes)))
    return Signature(tuple(fields), outputs, "binary" if len(classes) == 2 else "multiclass", classes)


def by_subject(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def run(context: MonitorContext, name: str, batches: Sequence[pa.Table], *, restart: bool = False) -> Monitor:
    """One default monitor over `batches`, all of which are labelled too when they have outcomes."""
    monitor = next(m for m in default_monitors(context) if m.name == name)
    for batch in batches:
        if restart:
            monitor = next(m for m in restore(context, {name: monitor.state()}) if m.name == name)
        monitor.observe(batch)
        if "outcome" in batch.column_names:
            monitor.observe_labelled(batch)
    return monitor


def drained(monitor: Monitor) -> dict[str, list[MonitorPoint]]:
    """The monitor's points by subject; a second call finds none."""
    found: dict[str, list[MonitorPoint]] = {}
    for point in monitor.points():
        found.setdefault(point.subject, []).append(point)
    assert monitor.points() == []
    return found
