"""What Triton's clients ask about models: their configuration and their statistics.

Specifications: "Model Configuration Extension" and "Statistics Extension"
(https://github.com/triton-inference-server/server/tree/main/docs/protocol).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tsavo.endpoints import DataPlane
from tsavo.endpoints.figures import Counted
from tsavo.endpoints.repository import version_numbers
from tsavo.grpc.messages import message
from tsavo.vocabulary import DType, Field, Output, Version

__all__ = ["configuration", "shape_of", "statistics"]

# Triton's enumeration of datatypes.
_DATA_TYPES: Final[dict[DType, int]] = {
    "bool": 1,
    "int32": 8,
    "int64": 9,
    "float32": 11,
    "float64": 12,
    "string": 13,
}
_MILLISECOND: Final = 1_000_000
# So many endpoints are written down before others get their turn on the event loop.
_AT_ONCE: Final = 50


def shape_of(column: Field | Output) -> list[int]:
    """The shape of an input or output; -1 stands for the rows.

    >>> shape_of(Output("probabilities", "float64", 3))
    [-1, 3]
    """
    width = column.width if isinstance(column, Output) else None
    return [-1] if width is None else [-1, width]


def configuration(endpoint: str, version: Version) -> Any:
    """The ``ModelConfig`` of a version.

    The maximum batch size is 0, by which Triton says that a shape is given whole: its first size is that of the rows.
    """
    config = message("ModelConfig")(
        name=endpoint, platform=f"tsavo_{version.runtime}", backend=version.runtime, max_batch_size=0
    )
    signature = version.signature
    for columns, described in ((signature.inputs, config.input), (signature.outputs, config.output)):
        for column in columns:
            described.add(name=column.name, data_type=_DATA_TYPES[column.dtype], dims=shape_of(column))
    return config


async def statistics(plane: DataPlane, endpoint: str, number: int | None) -> Any:
    """A ``ModelStatisticsResponse``: what all gateway processes counted since ``tsavo up``.

    Parameters
    ----------
    endpoint
        Empty for all that had a request.
    number
        Of the one version that is meant, or ``None`` for those that the route names and those that answered last.

    Raises
    ------
    NotFound
        When there is no such endpoint, or its route names no such version.
    """
    if number is not None:
        plane.pinned(endpoint, number)
    elif endpoint:
        plane.route(endpoint)
    figures = await plane.statistics.figures()
    response = message("ModelStatisticsResponse")()
    for place, name in enumerate([endpoint] if endpoint else sorted(figures.names)):
        if place % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        counted = figures.versions(name)
        named = version_numbers(plane.route(name)) if plane.has(name) else []
        for one in [number] if number is not None else dict.fromkeys([*named, *counted]):
            _add(response, name, one, counted.get(one) or Counted.none())
    return response


def _add(response: Any, name: str, number: int, counted: Counted) -> None:
    answered = counted.answered
    # A request is scored by itself and at once, so none waits for others; what is left of the time is that of the
    # record on its way to disk.
    parts = {
        "success": (answered, counted.total_ns),
        "fail": (counted.failed_requests, counted.failed_ns),
        "queue": (answered, 0),
        "compute_input": (answered, counted.input_ns),
        "compute_infer": (answered, counted.infer_ns),
        "compute_output": (answered, max(0, counted.total_ns - counted.input_ns - counted.infer_ns)),
    }
    response.model_stats.add(
        name=name,
        version=str(number),
        last_inference=counted.last_ns // _MILLISECOND,
        inference_count=counted.rows,
        execution_count=answered,
        inference_stats={part: {"count": count, "ns": ns} for part, (count, ns) in parts.items()},
    )
