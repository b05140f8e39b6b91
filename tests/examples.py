"""Small, complete examples of the vocabulary's structs, for tests that need one and do not care which."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tsavo.registry import add_model, add_version, find_model
from tsavo.storage import Connection
from tsavo.vocabulary import (
    Check,
    Field,
    Finding,
    Lineage,
    Model,
    Output,
    Reference,
    Route,
    Signature,
    Version,
    VersionRef,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

CLASSIFIER = Signature(
    inputs=(
        Field("age", "int64", low=18, high=90),
        Field("city", "string", nullable=True, categories=("nairobi", "voi")),
    ),
    outputs=(Output("label", "int64"), Output("probabilities", "float32", 2)),
    task="binary",
    classes=(0, 1),
)
REGRESSOR = Signature((Field("age", "int64"),), (Output("value", "float64"),), "regression")


class SteppingClock:
    """Begins at noon of 1 March 2026 and moves on by one second whenever it is read."""

    def __init__(self) -> None:
        self._now = NOON

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def nanoseconds(self) -> int:
        return int(self.now().timestamp()) * 1_000_000_000


def digest_of(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


def example_version(model: str = "credit", words: str = "one", signature: Signature = CLASSIFIER) -> Version:
    """A draft of a version; other `words` make it another one."""
    return Version(
        model=model,
        number=0,
        digest=digest_of(f"{model} {words}"),
        artifact=digest_of(f"artifact {words}"),
        artifact_bytes=1234,
        runtime="onnx",
        signature=signature,
        lineage=Lineage(
            registered_by="ada",
            source_name="model.joblib",
            source_format="joblib",
            source_digest=digest_of(f"source {words}"),
            framework="scikit-learn",
            libraries={"scikit-learn": "1.9.1"},
            trusted_by="ada",
        ),
        checks=(Check("same answers", passed=True, summary="1,000 rows agree", figures={"largest": 1e-7}),),
        created=NOON,
        reference=Reference(digest_of("reference"), rows=1000, target="late"),
    )


def keep_versions(
    connection: Connection, model: str = "credit", count: int = 1, signature: Signature = CLASSIFIER
) -> list[VersionRef]:
    """Keep `count` versions of `model`, which is made when there is none."""
    if find_model(connection, model) is None:
        add_model(connection, Model(model, owner="ada", created=NOON))
    return [
        add_version(connection, example_version(model, f"version {number}", signature)).ref
        for number in range(count)
    ]


def example_route(endpoint: str = "credit", number: int = 1, **changes: Any) -> Route:
    route = Route(endpoint=endpoint, revision=0, champion=VersionRef("credit", number), changed=NOON)
    return msgspec.structs.replace(route, **changes)


def example_finding(**changes: Any) -> Finding:
    """A drift monitor that has used up its budget."""
    finding = Finding(
        endpoint="credit",
        monitor="drift",
        kind="drift",
        subject="age",
        version="credit@1",
        time=NOON,
        rows=5000,
        evidence=250.0,
        threshold=200.0,
        alarm=True,
        text="'age' has moved.",
        figures={"shift": 0.4},
    )
    return msgspec.structs.replace(finding, **changes)
