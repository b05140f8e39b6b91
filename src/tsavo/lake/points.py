"""The monitors' charts: one table of points, a folder a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tsavo.lake.tables import LakeTable
from tsavo.vocabulary import Invalid

__all__ = ["POINT_SCHEMA", "point_rows", "read_points"]

# One day a folder: what charts ask for is recent, and a day's points are merged into one file once it is over.
POINT_SCHEMA: Final = pa.schema(
    [
        ("endpoint", pa.string()),
        ("monitor", pa.string()),
        ("subject", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("value", pa.float64()),
        ("rows", pa.int64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("day", pa.string()),
    ]
)
_NEEDED: Final = ("endpoint", "monitor", "subject", "time", "value", "rows")
_OPTIONAL: Final = ("low", "high")


def point_rows(points: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Points as rows; raise `Invalid` when one has other keys than a point has, or a time without a zone."""
    rows = []
    for point in points:
        missing = [name for name in _NEEDED if name not in point]
        unknown = [name for name in point if name not in (*_NEEDED, *_OPTIONAL)]
        if missing or unknown:
            raise Invalid(
                "not a monitor's point",
                field=", ".join(missing + unknown),
                found=sorted(point),
                expected=f"{', '.join(_NEEDED)}, and perhaps {', '.join(_OPTIONAL)}",
            )
        time = point["time"]
        if not isinstance(time, datetime) or time.tzinfo is None:
            raise Invalid("not a moment", field="time", found=time, expected="a datetime with a time zone")
        rows.append({**point, "day": time.astimezone(UTC).date().isoformat()})
    return pa.Table.from_pylist(rows, schema=POINT_SCHEMA)


def read_points(
    table: LakeTable,
    endpoint: str,
    monitor: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> pa.Table:
    """The newest `limit` points from `since` to before `until`, in the order of their time."""
    snapshot = table.snapshot()
    if snapshot is None:
        return POINT_SCHEMA.empty_table().drop_columns(["day"])
    wanted = pc.field("endpoint") == endpoint
    if monitor is not None:
        wanted = wanted & (pc.field("monitor") == monitor)
    if subject is not None:
        wanted = wanted & (pc.field("subject") == subject)
    if since is not None:
        wanted = (
            wanted
            & (pc.field("time") >= since)
            & (pc.field("day") >= since.astimezone(UTC).date().isoformat())
        )
    if until is not None:
        wanted = (
            wanted
            & (pc.field("time") < until)
            & (pc.field("day") <= until.astimezone(UTC).date().isoformat())
        )
    columns = [name for name in POINT_SCHEMA.names if name != "day"]
    rows = table.data(snapshot, ("endpoint", "monitor", "time")).to_table(columns=columns, filter=wanted)
    rows = rows.sort_by([("time", "ascending"), ("monitor", "ascending"), ("subject", "ascending")])
    return rows.slice(max(0, rows.num_rows - limit))
