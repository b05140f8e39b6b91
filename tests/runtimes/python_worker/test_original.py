"""A model in a process of its own, asked as if it were here."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from tests.runtimes.python_worker.models import bundle
from tsavo.formats.opening import open_original
from tsavo.formats.tables import field_of
from tsavo.runtimes import ProcessLimits
from tsavo.runtimes.python_worker.holding import holding
from tsavo.runtimes.python_worker.original import RemoteFailure, RemoteOriginal
from tsavo.vocabulary import Field, Hints, SourceFormat, Unavailable, Unreadable

NONE = Hints()
X = Field("x", "float64")
COLUMNS = {"x": np.array([1.0, 2.0])}


@contextmanager
def remote(
    path: Path, source_format: SourceFormat = "python", hints: Hints = NONE
) -> Iterator[RemoteOriginal]:
    limits = ProcessLimits(memory_bytes=600 << 20)
    work = path.parent
    with holding(
        Path(sys.executable), path, source_format, hints, trusted=True, work=work, limits=limits
    ) as connection:
        yield RemoteOriginal(connection)
    assert not list(path.parent.glob("holding-*"))


def test_it_answers_and_describes_itself_as_the_model_does_here(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    table = {"age": random.integers(18, 90, 100), "income": random.normal(size=100)}
    target = np.where(table["age"] > 50, "old", "young")
    model = LogisticRegression(max_iter=1000).fit(pd.DataFrame(table), target)
    joblib.dump(model, tmp_path / "model")
    here = open_original(tmp_path / "model", "joblib", trusted=True, hints=Hints())
    fields = [field_of(name, values) for name, values in table.items()]
    with remote(tmp_path / "model", "joblib") as there:
        assert (there.framework, there.names, there.columns) == (here.framework, here.names, here.columns)
        assert (there.task, there.classes, there.wants_text) == (here.task, here.classes, here.wants_text)
        given, wanted = there.predict(fields, table), here.predict(fields, table)
        assert given["label"].tolist() == wanted["label"].tolist()
        # As near as two processes come whose BLAS has other numbers of threads.
        assert np.allclose(given["probabilities"], wanted["probabilities"], rtol=1e-9, atol=0)
        assert there.takes(fields, {name: values[:1] for name, values in table.items()}, [1], np.nan) == set()


def test_hints_go_with_it(tmp_path: Path) -> None:
    path = bundle(tmp_path, "return columns['x'] / 4")
    with remote(path, hints=Hints(classes=("stay", "leave"), names=("x",))) as there:
        assert (there.task, there.classes, there.names) == ("binary", ("stay", "leave"), ["x"])
        assert there.predict([X], {"x": np.array([1.0, 3.0])})["label"].tolist() == ["stay", "leave"]


def test_what_the_model_raises_comes_through_in_words(tmp_path: Path) -> None:
    path = bundle(tmp_path, "raise ValueError('too odd')")
    with remote(path) as there:
        with pytest.raises(RemoteFailure, match="ValueError: too odd"):
            there.predict([X], COLUMNS)
        assert not there.accepts([X], COLUMNS)


def test_what_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    path = bundle(tmp_path, "pass", before="import os; os._exit(3)")
    (tmp_path / "model").write_bytes(b"\x80\x04 nothing")
    with pytest.raises(Unreadable, match="cannot be read"), remote(tmp_path / "model", "joblib"):
        pass
    with (
        pytest.raises(Unavailable, match="its process ended"),
        remote(path),
    ):
        pass


def test_a_process_that_is_gone_or_too_large_says_so(tmp_path: Path) -> None:
    with (
        remote(bundle(tmp_path, "import os; os._exit(3)")) as there,
        pytest.raises(Unavailable, match="process ended"),
    ):
        there.predict([X], COLUMNS)
    fat = bundle(tmp_path, "import numpy; return {'value': numpy.ones(10**9)[:2]}")
    with remote(fat) as there, pytest.raises(MemoryError):
        there.predict([X], COLUMNS)


def test_a_python_that_does_not_start_says_so(tmp_path: Path) -> None:
    path = bundle(tmp_path, "pass")
    with (
        pytest.raises(Unavailable),
        holding(Path("/bin/false"), path, "python", Hints(), trusted=True, work=tmp_path),
    ):
        pass
    with (
        pytest.raises(Unavailable),
        holding(tmp_path / "nothing", path, "python", Hints(), trusted=True, work=tmp_path),
    ):
        pass
    assert not list(tmp_path.glob("holding-*"))


def test_an_inherited_socket_does_as_well(tmp_path: Path) -> None:
    path = bundle(tmp_path, "return {'value': columns['x']}")
    with (
        holding(Path(sys.executable), path, "python", NONE, trusted=True, work=tmp_path) as connection,
        socket.socket(fileno=os.dup(connection.fileno())) as inherited,
    ):
        assert RemoteOriginal(inherited).predict([X], COLUMNS)["value"].tolist() == [1.0, 2.0]
