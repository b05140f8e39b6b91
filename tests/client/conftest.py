"""A running Tsavo with one model that takes all kinds of columns, for the whole room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd
import pytest

import tsavo
from tests.app.conftest import Running, running_on
from tests.app.models import strangers_pipeline, strangers_table


class Scene(NamedTuple):
    """A connected client, the pipeline that was registered as ``stranger``, and rows for it."""

    running: Running
    client: tsavo.Client
    pipeline: Any
    registered: tsavo.Registered
    endpoint: tsavo.Endpoint
    rows: pd.DataFrame
    truth: Any


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TSAVO_HOME", "TSAVO_URL", "TSAVO_USER", "TSAVO_TRACE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    table, target = strangers_table(400)
    pipeline = strangers_pipeline(table, target, trees=10)
    home = tmp_path_factory.mktemp("client") / "home"
    with running_on(home) as running, tsavo.connect(home=home) as client:
        registered = client.register(
            pipeline,
            name="stranger",
            reference=table,
            target=pd.Series(target, name="late"),
            brief={"problem": "Who pays late?"},
        )
        endpoint = client.deploy(registered, fallback=[{"label": 0, "probabilities": [0.9, 0.1]}])
        rows, truth = strangers_table(2100, seed=1)
        yield Scene(running, client, pipeline, registered, endpoint, rows, truth)
