from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.rest.scoring_world import MIXED, REQUEST, Scene, an_answer, texts, with_scene
from tsavo.rest.scoring_answers import aside, headers_of, predictions_reply, refuse_unless_ready
from tsavo.vocabulary import (
    ConstantFallback,
    Damaged,
    Field,
    NotFound,
    Output,
    Plug,
    Signature,
    Task,
    Unavailable,
)

X = (Field("x", "float64"),)


def predicted(task: Task, outputs: dict[str, Any], **parts: Any) -> Any:
    described = []
    for name, values in outputs.items():
        dtype: Any = "string" if values.dtype == object else values.dtype.name
        described.append(Output(name, dtype, None if values.ndim == 1 else values.shape[1]))
    signature = Signature(X, tuple(described), task, **parts)
    reply = asyncio.run(predictions_reply(an_answer(signature, *outputs.values())))
    return json.loads(reply.body)["predictions"]


def test_predictions_are_what_a_models_predict_gives() -> None:
    """As in scikit-learn: labels of classifiers, values of regressions, rows of ones and zeros for many labels."""
    shares = np.array([[0.9, 0.1], [0.25, 0.75]])
    assert predicted("binary", {"label": texts("no", "yes"), "probabilities": shares}) == ["no", "yes"]
    assert predicted("multiclass", {"label": np.array([3, 1]), "probabilities": shares}) == [3, 1]
    assert predicted("multilabel", {"label": np.array([[0, 1], [1, 1]])}) == [[0, 1], [1, 1]]
    assert predicted("regression", {"value": np.array([1.5, np.nan])}) == [1.5, None]
    assert predicted("regression", {"value": shares}) == shares.tolist()
    assert predicted("clustering", {"label": np.array([4, 5])}) == [4, 5]
    assert predicted("anomaly", {"score": np.array([0.5, -0.5])}) == [0.5, -0.5]
    assert predicted("binary", {"probabilities": shares}) == shares.tolist()


def test_several_outputs_are_an_object_a_row() -> None:
    small = np.array([0.1, 0.2], np.float32)
    wide = np.array([[1, 2], [3, 4]])
    told = predicted("generic", {"ratio": small, "size": texts("s", None), "both": wide})
    assert told == [{"ratio": 0.1, "size": "s", "both": [1, 2]}, {"ratio": 0.2, "size": None, "both": [3, 4]}]


def test_headers_tell_where_an_answer_came_from() -> None:
    answer = an_answer(MIXED, texts("no"), np.array([[0.9, 0.1]]))
    assert headers_of(answer) == (
        (b"x-tsavo-decision-id", f"{REQUEST}:0".encode()),
        (b"x-tsavo-version", b"credit@3"),
        (b"x-tsavo-role", b"champion"),
    )
    flagged = an_answer(
        MIXED,
        texts("no", "no", "no"),
        flags=("fallback:plug",),
        row_flags={0: ["unseen:city"], 2: ["unseen:city", "unseen:a, b\r\nset-cookie: ü=1"]},
    )
    assert dict(headers_of(flagged))[b"x-tsavo-flags"] == (
        b"fallback:plug, unseen:city, unseen:a%2C%20b%0D%0Aset-cookie:%20%C3%BC%3D1"
    )


def test_flags_in_headers_are_bounded() -> None:
    flagged = an_answer(MIXED, texts("no"), row_flags={0: [f"unseen:{number}" for number in range(1000)]})
    assert dict(headers_of(flagged))[b"x-tsavo-flags"].count(b"unseen") == 20


def test_large_bodies_are_read_beside_the_event_loop() -> None:
    async def where(size: int) -> int:
        return await aside(size, threading.get_ident)

    here = threading.get_ident()
    assert asyncio.run(where(1000)) == here
    assert asyncio.run(where(1 << 21)) != here


PULLED = Plug("me", datetime(2026, 1, 1, tzinfo=UTC))
CONSTANT = (ConstantFallback({"label": "no", "probabilities": [1.0, 0.0]}),)
GONE = Damaged("its file is gone")


@pytest.mark.parametrize(
    ("model", "route", "why"),
    [
        (None, {}, None),
        (None, {"plug": PULLED}, "plug of 'e' is pulled"),
        (None, {"plug": PULLED, "fallback": CONSTANT}, None),
        (GONE, {}, "its file is gone"),
        (GONE, {"fallback": CONSTANT}, None),
    ],
)
def test_who_can_answer_is_ready(tmp_path: Path, model: Any, route: dict[str, Any], why: str | None) -> None:
    async def test(scene: Scene) -> None:
        scored = await scene.client.post("/endpoints/e/score", json={"rows": [[1, 2, True, None, None]]})
        if why is None:
            await refuse_unless_ready(scene.world.plane, "e")
            assert scored.status_code == 200
        else:
            with pytest.raises(Unavailable, match=why):
                await refuse_unless_ready(scene.world.plane, "e")
            assert scored.status_code == 503
        with pytest.raises(NotFound):
            await refuse_unless_ready(scene.world.plane, "nobody")

    with_scene(tmp_path, test, model, **route)
