from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import tritonclient.grpc as triton

from tests.endpoints.test_serving import NOW
from tests.grpc_door.served import Echo, Served, served
from tsavo.vocabulary import (
    Challenger,
    Damaged,
    Field,
    Plug,
    Route,
    TsavoError,
    VersionFallback,
    VersionRef,
)

MIXED = Echo(
    Field("whole", "int64"),
    Field("small", "int32"),
    Field("number", "float64", nullable=True),
    Field("single", "float32", nullable=True),
    Field("yes", "bool"),
    Field("text", "string", categories=("nairobi", "voi")),
)
MATRIX = Echo(*(Field(f"x{column}", "float64", nullable=True) for column in range(20)))
ONE, TWO, THREE = (VersionRef("m", number) for number in (1, 2, 3))
OTHER, BROKEN = VersionRef("matrix", 7), VersionRef("broken", 1)
VERSIONS: dict[VersionRef, Echo | TsavoError] = {
    ONE: MIXED,
    TWO: MIXED,
    THREE: MIXED,
    OTHER: MATRIX,
    BROKEN: Damaged("its file is gone"),
}
ROUTES = [
    Route("mixed", 1, TWO, (Challenger(THREE),), (VersionFallback(ONE),)),
    Route("matrix", 2, OTHER),
    Route("broken", 3, BROKEN),
    Route("plugged", 4, OTHER, plug=Plug("me", NOW, "wrong since noon")),
    Route("fallen", 5, BROKEN, (), (VersionFallback(ONE),)),
]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("door"), VERSIONS, ROUTES) as serving:
        yield serving
        assert serving.faults == []
        assert (serving.admission.requests, serving.admission.bytes) == (0, 0)


@pytest.fixture(scope="module")
def client(door: Served) -> Iterator[Any]:
    with triton.InferenceServerClient(door.address) as connected:
        yield connected
