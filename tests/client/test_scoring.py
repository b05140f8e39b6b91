from __future__ import annotations

import numpy as np
import pytest

from tsavo.client.scoring import Scores, counted_from

IDS = [f"0197f0a0-0000-7000-8000-000000000000:{row}" for row in range(2)]


def scores(**outputs: list[object]) -> Scores:
    arrays = {name: np.array(values) for name, values in outputs.items()}
    return Scores(IDS, arrays, ["m@1", "m@2"], ["champion", "fallback"], [[], ["fallback:plug"]])


@pytest.mark.parametrize(
    ("start", "field", "expected"),
    [
        (1000, "inputs.age[5]", "inputs.age[1005]"),
        (1000, "inputs.x[3][7]", "inputs.x[3][1007]"),
        (0, "values[0]", "values[0]"),
        (1000, "inputs.age", "inputs.age"),
        (1000, "body", "body"),
        (1000, None, None),
    ],
)
def test_rows_of_a_piece_are_counted_from_the_first_row_of_all(
    start: int, field: str | None, expected: str | None
) -> None:
    assert counted_from(start, field) == expected


def test_answers_become_a_table_with_an_id_for_each_row() -> None:
    table = scores(label=[1, 0], probabilities=[[0.25, 0.75], [0.5, 0.5]]).to_arrow()
    assert table.column_names == ["decision_id", "label", "probabilities", "version", "role", "flags"]
    assert table.to_pylist()[1] == {
        "decision_id": IDS[1],
        "label": 0,
        "probabilities": [0.5, 0.5],
        "version": "m@2",
        "role": "fallback",
        "flags": ["fallback:plug"],
    }


def test_an_output_does_not_hide_who_answered() -> None:
    frame = scores(version=[7.5, 8.5], value=[1.0, 2.0]).to_pandas()
    assert frame["version"].tolist() == ["m@1", "m@2"]
    assert frame["prediction.version"].tolist() == [7.5, 8.5]


def test_the_last_row_speaks_for_all() -> None:
    found = scores(value=[1.0, 2.0])
    assert (found.version, found.role, len(found)) == ("m@2", "fallback", 2)
