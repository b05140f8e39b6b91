"""Serving: validate, route, predict, record.

What comes in: a request as named tensors from any door, and routes from the registry. What goes out: an answer
whose decisions are already in the journal, or an error that names the field. It must never read the lake, wait
for a monitor, or open a file or a database on a request's way.
"""

from tsavo.endpoints.answers import Answer
from tsavo.endpoints.drills import DrillBook
from tsavo.endpoints.following import RouteFollower, version_loader
from tsavo.endpoints.infer_all import FamilyAnswer, FamilyScoring, FamilyState, MemberAnswer
from tsavo.endpoints.inputs import InputReader, InputTensor
from tsavo.endpoints.loaded import LoadedVersion, project
from tsavo.endpoints.recording import Recorder
from tsavo.endpoints.serving import DataPlane
from tsavo.endpoints.shadows import ShadowQueue, ShadowWork
from tsavo.endpoints.shelf import VersionShelf
from tsavo.endpoints.statistics import Gauges, Statistics

__all__ = [
    "Answer",
    "DataPlane",
    "DrillBook",
    "FamilyAnswer",
    "FamilyScoring",
    "FamilyState",
    "Gauges",
    "InputReader",
    "InputTensor",
    "LoadedVersion",
    "MemberAnswer",
    "Recorder",
    "RouteFollower",
    "ShadowQueue",
    "ShadowWork",
    "Statistics",
    "VersionShelf",
    "project",
    "version_loader",
]
