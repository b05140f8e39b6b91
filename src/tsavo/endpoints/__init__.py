"""Serving: validate, route, predict, record.

What comes in: a request as named tensors from any door, and routes from the registry. What goes out: an answer
whose decisions are already in the journal, or an error that names the field. It must never read the lake, wait
for a monitor, or open a file or a database on a request's way.
"""

from tsavo.endpoints.following import RouteFollower, version_loader
from tsavo.endpoints.inputs import InputReader, InputTensor
from tsavo.endpoints.loaded import LoadedVersion, VersionShelf, project
from tsavo.endpoints.serving import Answer, DataPlane, Recorder
from tsavo.endpoints.shadows import ShadowQueue, ShadowWork

__all__ = [
    "Answer",
    "DataPlane",
    "InputReader",
    "InputTensor",
    "LoadedVersion",
    "Recorder",
    "RouteFollower",
    "ShadowQueue",
    "ShadowWork",
    "VersionShelf",
    "project",
    "version_loader",
]
