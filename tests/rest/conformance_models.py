"""A running Tsavo with a model on numbers, one on columns of every kind, and a family; descriptions fitted to them."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.app.conftest import Running, running_on
from tests.app.models import save_small_model

CELLS: dict[str, dict[str, Any]] = {
    "age": {"type": "integer", "minimum": -(2**31), "maximum": 2**31},
    "income": {"type": ["number", "null"], "minimum": -1e300, "maximum": 1e300},
    "member": {"type": "boolean"},
    "city": {"type": ["string", "null"]},
}
"""Column of the model ``mixed`` -> what its cells may be."""

DATATYPES = {"age": "INT64", "income": "FP64", "member": "BOOL", "city": "BYTES"}
NAMES = ["mixed", "numbers", "shops"]


def save_mixed_model(folder: Path) -> tuple[Path, Path]:
    """A logistic regression on whole numbers, floats, truths and strings, some of them missing."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": random.integers(18, 90, 400),
            "income": np.where(random.random(400) < 0.1, np.nan, random.lognormal(10, 1, 400)),
            "member": random.random(400) < 0.5,
            "city": random.choice(np.array(["nairobi", "mombasa", "voi", None], dtype=object), 400),
        }
    )
    target = (table["age"] / 50 + table["member"] + random.normal(size=400) > 1.5).astype(int)
    strings = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), ["age", "income"]),
            ("truths", "passthrough", ["member"]),
            ("strings", strings, ["city"]),
        ]
    )
    joblib.dump(
        make_pipeline(columns, LogisticRegression(max_iter=2000)).fit(table, target), folder / "m.joblib"
    )
    table.assign(target=target).to_parquet(folder / "mixed.parquet")
    return folder / "m.joblib", folder / "mixed.parquet"


@contextmanager
def running_with_models(folder: Path) -> Iterator[Running]:
    """Both models, deployed, and the family ``shops`` of the one on numbers."""
    models = {"numbers": save_small_model(folder), "mixed": save_mixed_model(folder)}
    with running_on(folder / "home") as running:
        for name, (model, reference) in models.items():
            words = ["--name", name, "--reference", str(reference), "--target", "target", "--trust"]
            running.tsavo("deploy", str(model), *words)
        running.tsavo("deploy", "numbers", "--endpoint", "shops")
        running.tsavo("family", "make", "shops", "--key", "shop")
        running.tsavo("family", "set", "shops", "voi=numbers@1", "lamu=numbers@1")
        for endpoint in NAMES:
            wait_for(f"{running.gateway}/v2/models/{endpoint}/ready")
        wait_for(f"{running.gateway}/v2/families/shops")
        yield running


def wait_for(url: str) -> None:
    """Until the gateway has the route."""
    deadline = time.monotonic() + 20
    while httpx.get(url).status_code != 200:
        assert time.monotonic() < deadline, url
        time.sleep(0.05)


def narrowed(description: dict[str, Any]) -> dict[str, Any]:
    """The gateway's description for a caller who knows which endpoints there are.

    Without this nearly all requests would be for endpoints that nobody has.
    """
    document = copy.deepcopy(description)
    parameters = document["components"]["parameters"]
    parameters["Endpoint"]["schema"] = {"enum": NAMES}
    parameters["Family"]["schema"] = {"enum": NAMES}
    parameters["Version"]["schema"] = {"enum": ["1"]}
    # What must fit the body in ways that no schema says.
    parameters["Encoding"]["schema"] = {"enum": ["identity"]}
    _leave_out(document, "JsonLength")
    return document


def fitted(description: dict[str, Any]) -> dict[str, Any]:
    """The gateway's description for a caller who knows the model ``mixed``: all that it allows must be answered."""
    document = narrowed(description)
    # A key that was used for another request is refused.
    _leave_out(document, "IdempotencyKey")
    components = document["components"]
    components["parameters"]["Endpoint"]["schema"] = {"enum": ["mixed"]}
    components["parameters"]["Family"]["schema"] = {"enum": ["shops"]}
    row_object = {
        "type": "object",
        "properties": CELLS,
        "required": list(CELLS),
        "additionalProperties": False,
    }
    row_list = {"type": "array", "prefixItems": list(CELLS.values()), "items": False, "minItems": len(CELLS)}
    rows = {"anyOf": [_some(row_object), _some(row_list)]}
    split = _object(columns={"const": list(CELLS)}, data=_some(row_list))
    components["schemas"] |= {
        "InferenceRequest": _object(
            {
                "id": {"type": "string"},
                "parameters": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            inputs={
                "type": "array",
                "prefixItems": [_tensor(name) for name in CELLS],
                "items": False,
                "minItems": len(CELLS),
            },
        ),
        "FamilyRequest": _object(
            {
                "segments": {"enum": [["voi"], ["lamu", "voi"], None]},
                "limit": {"enum": [1, 2, 100, None]},
                "after": {"type": "string"},
            },
            inputs={"enum": [[{"name": "m", "shape": [1, 3], "datatype": "FP64", "data": [0.5, 1, -2]}]]},
        ),
        "Rows": _object({"outputs": {"enum": [["label"], ["label", "probabilities"], None]}}, rows=rows),
        "Prediction": {"anyOf": [_object(instances=rows), _object(inputs=_columns())]},
        "Invocation": {
            "anyOf": [
                _object(dataframe_split=split),
                _object(dataframe_records=_some(row_object)),
                _object(instances=rows),
                _object(inputs=_columns()),
            ]
        },
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            body = operation.get("requestBody")
            if body is not None:
                body["content"] = {"application/json": body["content"]["application/json"]}
    return document


def _leave_out(document: dict[str, Any], parameter: str) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["parameters"] = [
                given
                for given in operation["parameters"]
                if given.get("$ref") != f"#/components/parameters/{parameter}"
            ]


def _object(optional: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": members | (optional or {}),
        "required": list(members),
        "additionalProperties": False,
    }


def _some(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1, "maxItems": 3}


def _two(name: str) -> dict[str, Any]:
    return {"type": "array", "items": CELLS[name], "minItems": 2, "maxItems": 2}


def _columns() -> dict[str, Any]:
    return _object(**{name: _two(name) for name in CELLS})


def _tensor(name: str) -> dict[str, Any]:
    return _object(
        name={"const": name},
        shape={"enum": [[2], [2, 1]]},
        datatype={"const": DATATYPES[name]},
        data=_two(name),
    )
