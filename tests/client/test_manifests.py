from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsavo.client.manifests import Entry, entries, manifest_rows
from tsavo.vocabulary import Conflict, Invalid, NotFound, TsavoError, Unreadable


def listed(models: object, folder: Path | None = None) -> list[Entry]:
    found = list(entries(models, folder))
    assert all(isinstance(one, Entry) for one in found), found
    return [one for one in found if isinstance(one, Entry)]


def errors(models: object, folder: Path | None = None) -> dict[int, TsavoError]:
    return {one[0]: one[2] for one in entries(models, folder) if not isinstance(one, Entry)}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two model files in a folder, and data."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("north.skops", "South 2.onnx", "north.parquet", ".hidden"):
        (folder / name).write_bytes(b"x")
    return folder


ROWS = [
    {"source": "models/north.skops", "name": "north", "segment": "007", "target": "late"},
    {"source": "models/South 2.onnx", "name": "south", "reference": "models/north.parquet", "why": "trial"},
]


def written(path: Path) -> Path:
    table = pa.table({name: [row.get(name) for row in ROWS] for name in (*ROWS[0], "reference", "why")})
    if path.suffix == ".csv":
        table.to_pandas().to_csv(path, index=False)
    elif path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return path


@pytest.mark.parametrize("name", ["list.csv", "list.parquet", "list.jsonl"])
def test_every_kind_of_manifest_says_the_same(tmp_path: Path, models: Path, name: str) -> None:
    north, south = listed(written(tmp_path / name))
    assert north == Entry(1, models / "north.skops", "north", None, "late", segment="007")
    assert south == Entry(2, models / "South 2.onnx", "south", models / "north.parquet", why="trial")


def test_paths_of_a_table_start_in_the_given_folder(tmp_path: Path, models: Path) -> None:
    north, _ = listed(pd.DataFrame(ROWS), tmp_path)
    assert north.source == models / "north.skops"
    assert listed(iter(ROWS), tmp_path) == listed(pd.DataFrame(ROWS), tmp_path)


def test_a_folder_is_its_model_files_with_their_references(models: Path) -> None:
    south, north = listed(models)
    assert (south.name, south.source, south.reference) == ("south-2", models / "South 2.onnx", None)
    assert (north.name, north.reference) == ("north", models / "north.parquet")


def test_a_live_object_is_handed_on_as_it_is() -> None:
    model = object()
    assert listed([{"source": model, "name": "live"}])[0].source is model


def test_whole_numbers_stay_whole_beside_gaps(models: Path) -> None:
    table = pd.DataFrame({"source": ["north.skops"] * 2, "name": ["a", "b"], "segment": [17, None]})
    assert [entry.segment for entry in listed(table, models)] == ["17", None]


def test_a_row_that_is_none_keeps_no_other_out(models: Path) -> None:
    rows = [
        {"source": "north.skops", "name": "first"},
        {"source": "gone.skops", "name": "second"},
        {"source": "north.skops", "name": "Not A Name"},
        {"source": "north.skops"},
        {"source": "north.skops", "name": "first"},
        {"source": "north.skops", "name": "x", "refrence": "north.parquet"},
        {"source": "os:system", "name": "y"},
        "north.skops",
        {"source": "north.skops", "name": "last"},
    ]
    found = errors(rows, models)
    kinds = {row: (type(error), error.field) for row, error in found.items()}
    assert kinds == {
        2: (NotFound, "source"),
        3: (Invalid, "name"),
        4: (Invalid, "name"),
        5: (Conflict, "name"),
        6: (Invalid, "refrence"),
        7: (NotFound, "source"),
        8: (Invalid, "row"),
    }
    assert [one.name for one in entries(rows, models) if isinstance(one, Entry)] == ["first", "last"]


def test_what_is_no_list_is_refused(tmp_path: Path, models: Path) -> None:
    with pytest.raises(NotFound):
        manifest_rows(tmp_path / "gone.csv")
    with pytest.raises(Invalid, match="not a manifest"):
        manifest_rows(models / "north.skops")
    with pytest.raises(Unreadable):
        manifest_rows(models / "north.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="no model file"):
        manifest_rows(tmp_path / "empty")
