"""Folders as MLflow 3.17 writes them, made by hand; tests/app/test_mlflow.py has those that MLflow itself makes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import skops.io
import yaml
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tsavo.formats.mlflow_bundle import open_model, read_mlmodel, resolve
from tsavo.vocabulary import Field, Hints, Invalid, Refused, TsavoError, Unreadable, Untrusted

ROWS = pd.DataFrame({"b b": [1.0, 2.0, 4.0], "a": [0.5, 0.1, 0.9]})
FITTED = LinearRegression().fit(ROWS, [1.0, 2.0, 3.0])
COLUMNS = [
    {"type": "double", "name": "a", "required": True},
    {"type": "double", "name": "b b", "required": True},
]


def mlmodel(flavors: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"flavors": flavors, "mlflow_version": "3.17.2", "run_id": "0" * 32, **more}


def sklearn(**changes: Any) -> dict[str, Any]:
    return {
        "python_function": {
            "loader_module": "mlflow.sklearn",
            "model_path": "model.skops",
            "python_version": "3.11.7",
        },
        "sklearn": {"pickled_model": "model.skops", "serialization_format": "skops", "code": None, **changes},
    }


def folder_of(path: Path, told: dict[str, Any], files: dict[str, str | bytes] | None = None) -> Path:
    path.mkdir(exist_ok=True)
    (path / "MLmodel").write_text(yaml.safe_dump(told))
    for name, content in (files or {}).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def skops_folder(path: Path, **more: Any) -> Path:
    return folder_of(path, mlmodel(sklearn(), **more), {"model.skops": skops.io.dumps(FITTED)})


def signature(columns: list[dict[str, Any]]) -> dict[str, Any]:
    return {"inputs": json.dumps(columns), "outputs": None, "params": None}


def test_a_native_model_is_its_own_file(tmp_path: Path) -> None:
    found = resolve(skops_folder(tmp_path / "m"))
    assert (found.path, found.format, found.flavor) == (tmp_path / "m" / "model.skops", "skops", "sklearn")
    assert (found.python, found.requirements, found.declared, found.example) == ("3.11", (), None, None)


@pytest.mark.parametrize(
    ("flavor", "told", "name", "source_format"),
    [
        ("sklearn", {"pickled_model": "m", "serialization_format": "cloudpickle"}, "m", "cloudpickle"),
        ("sklearn", {"pickled_model": "m", "serialization_format": "pickle"}, "m", "pickle"),
        ("sklearn", {"pickled_model": "m"}, "m", "pickle"),
        ("xgboost", {"data": "m.ubj", "model_class": "xgboost.sklearn.XGBClassifier"}, "m.ubj", "xgboost"),
        ("lightgbm", {"data": "m.lgb", "model_class": "lightgbm.basic.Booster"}, "m.lgb", "lightgbm"),
        (
            "lightgbm",
            {"data": "m", "model_class": "lightgbm.sklearn.LGBMRegressor", "serialization_format": "skops"},
            "m",
            "skops",
        ),
        ("catboost", {"data": "m.cb", "save_format": "cbm"}, "m.cb", "catboost"),
        ("onnx", {"data": "m.onnx"}, "m.onnx", "onnx"),
        ("statsmodels", {"data": "m"}, "m", "pickle"),
        ("pytorch", {"model_data": "data", "serialization_format": "pt2"}, "data/model.pt2", "torch-export"),
    ],
)
def test_flavors(tmp_path: Path, flavor: str, told: dict[str, Any], name: str, source_format: str) -> None:
    flavors = {"python_function": {"loader_module": f"mlflow.{flavor}"}, flavor: told}
    found = resolve(folder_of(tmp_path / "m", mlmodel(flavors), {name: ""}))
    assert (found.path, found.format, found.flavor) == (tmp_path / "m" / name, source_format, flavor)


@pytest.mark.parametrize(
    "flavors",
    [
        {"python_function": {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl"}},
        # Code of the author's own comes with it; or MLflow alone can read it; or another loader is to.
        {**sklearn(code="code")},
        {**sklearn(), "python_function": {"loader_module": "my_loader"}},
        {
            "python_function": {"loader_module": "mlflow.pytorch"},
            "pytorch": {"model_data": "data", "serialization_format": "pickle"},
        },
        {"python_function": {"loader_module": "mlflow.spark"}, "spark": {"model_data": "sparkml"}},
    ],
)
def test_all_else_is_a_function_that_runs_code(tmp_path: Path, flavors: dict[str, Any]) -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": "mlflow==3.17.2\nsix==1.17.0\n",
        "python_model.pkl": "",
        "model.skops": "",
    }
    found = resolve(folder_of(tmp_path / "m", mlmodel(flavors), files))
    assert (found.path, found.format, found.flavor) == (tmp_path / "m", "python", "python_function")
    assert found.requirements == ("mlflow==3.17.2", "six==1.17.0")


def test_without_a_flavor_to_serve(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no flavor"):
        resolve(folder_of(tmp_path / "m", mlmodel({"spark": {"model_data": "x"}})))


def test_a_format_without_code_chooses_no_packages(tmp_path: Path) -> None:
    """A file that nobody vouched for must not have anything installed that it names itself."""
    folder = skops_folder(tmp_path / "m")
    (folder / "requirements.txt").write_text(
        "mlflow==3.17.2\nscikit-learn==1.6.1\nskops==0.11.0\nnumpy==2.1.0\nevil-package==6.6\npandas==2.2.0\n"
    )
    assert resolve(folder).requirements == ("scikit-learn==1.6.*", "skops>=0.11", "pandas", "pyyaml>=6")


def test_a_pickle_needs_all_that_it_names_but_mlflow(tmp_path: Path) -> None:
    told = mlmodel(sklearn(pickled_model="model.pkl", serialization_format="pickle"))
    lines = "mlflow==3.17.2\nmlflow-skinny==3.17.2\nscikit-learn==1.6.1\nmine==2\nmlflow-mine==1\n"
    folder = folder_of(tmp_path / "m", told, {"model.pkl": pickle.dumps(FITTED), "requirements.txt": lines})
    assert resolve(folder).requirements == ("scikit-learn==1.6.1", "mine==2", "mlflow-mine==1", "pyyaml>=6")


def test_both_builds_of_xgboost_are_one(tmp_path: Path) -> None:
    flavors = {"xgboost": {"data": "m.ubj"}}
    lines = "mlflow\nxgboost-cpu==3.2.0\nxgboost==3.2.0\n"
    folder = folder_of(tmp_path / "m", mlmodel(flavors), {"m.ubj": "", "requirements.txt": lines})
    assert resolve(folder).requirements == ("xgboost-cpu>=3.2", "pyyaml>=6")


def test_requirements_of_older_folders_are_in_conda_yaml(tmp_path: Path) -> None:
    conda = {"dependencies": ["python=3.12.4", "pip", {"pip": ["mlflow", "six==1.17.0"]}]}
    flavors = {"python_function": {"loader_module": "mine"}}
    folder = folder_of(tmp_path / "m", mlmodel(flavors), {"conda.yaml": yaml.safe_dump(conda)})
    assert resolve(folder).requirements == ("mlflow", "six==1.17.0")
    (folder / "python_env.yaml").write_text("python: 3.12.4\n")
    assert resolve(folder).python == "3.12"


def test_the_signature_is_declared_in_the_models_own_order(tmp_path: Path) -> None:
    folder = skops_folder(tmp_path / "m", signature=signature(COLUMNS))
    assert resolve(folder).declared == (Field("a", "float64"), Field("b b", "float64"))
    original = open_model(folder, "mlflow", Hints())
    assert original.declared == (Field("b b", "float64"), Field("a", "float64"))
    columns = {name: ROWS[name].to_numpy() for name in ROWS}
    np.testing.assert_array_equal(original.predict(original.declared, columns)["value"], FITTED.predict(ROWS))


def test_names_that_a_library_changed(tmp_path: Path) -> None:
    """LightGBM keeps 'b b' as 'b_b', and takes the columns of a table by their places."""
    rows = pd.DataFrame({"b b": np.arange(40) % 7, "a": np.arange(40.0)})
    with threadpool_limits(1):
        booster = lightgbm.train(
            {"verbose": -1, "min_data_in_leaf": 2, "num_threads": 1}, lightgbm.Dataset(rows, rows["a"] % 3), 3
        )
    assert booster.feature_name() == ["b_b", "a"]
    flavors = {"lightgbm": {"data": "m.lgb", "model_class": "lightgbm.basic.Booster"}}
    told = mlmodel(flavors, signature=signature(COLUMNS))
    folder = folder_of(tmp_path / "m", told, {"m.lgb": booster.model_to_string()})
    original = open_model(folder, "mlflow", Hints())
    assert original.declared is not None
    assert [field.name for field in original.declared] == ["b b", "a"]
    columns = {name: rows[name].to_numpy(np.float64) for name in rows}
    np.testing.assert_allclose(original.predict(original.declared, columns)["value"], booster.predict(rows))


def test_a_signature_of_other_columns_is_refused(tmp_path: Path) -> None:
    for at, columns in enumerate((COLUMNS[:1], [{**COLUMNS[0], "name": "z"}, COLUMNS[1]])):
        folder = skops_folder(tmp_path / str(at), signature=signature(columns))
        with pytest.raises(Invalid, match="other columns"):
            open_model(folder, "mlflow", Hints())


def test_a_model_without_names_takes_those_of_the_signature(tmp_path: Path) -> None:
    nameless = LinearRegression().fit(ROWS.to_numpy(), [1.0, 2.0, 3.0])
    told = mlmodel(sklearn(), signature=signature(COLUMNS))
    original = open_model(
        folder_of(tmp_path / "m", told, {"model.skops": skops.io.dumps(nameless)}), "mlflow", Hints()
    )
    assert original.declared is not None
    assert [field.name for field in original.declared] == ["a", "b b"]
    three = mlmodel(sklearn(), signature=signature([*COLUMNS, {"type": "double", "name": "c"}]))
    with pytest.raises(Invalid, match="number of columns"):
        open_model(
            folder_of(tmp_path / "n", three, {"model.skops": skops.io.dumps(nameless)}), "mlflow", Hints()
        )


def test_the_types_of_a_signature(tmp_path: Path) -> None:
    kinds = ["boolean", "integer", "long", "float", "double", "string"]
    columns = [{"type": kind, "name": kind, "required": True} for kind in kinds]
    columns += [{"type": kind, "name": f"maybe {kind}", "required": False} for kind in kinds]
    declared = resolve(skops_folder(tmp_path / "m", signature=signature(columns))).declared
    assert declared is not None
    assert {field.name: (field.dtype, field.nullable) for field in declared} == {
        "boolean": ("bool", False),
        "integer": ("int32", False),
        "long": ("int64", False),
        "float": ("float32", False),
        "double": ("float64", False),
        "string": ("string", False),
        "maybe boolean": ("float64", True),
        "maybe integer": ("float64", True),
        "maybe long": ("float64", True),
        "maybe float": ("float32", True),
        "maybe double": ("float64", True),
        "maybe string": ("string", True),
    }


def test_tensors_that_are_tables(tmp_path: Path) -> None:
    def tensor(dtype: str, *shape: int, **more: str) -> dict[str, Any]:
        return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}, **more}

    def names(*columns: dict[str, Any]) -> list[tuple[str, str]]:
        folder = skops_folder(tmp_path / "m", signature=signature(list(columns)))
        return [(field.name, field.dtype) for field in resolve(folder).declared or ()]

    assert names(tensor("float64", -1, 3)) == [("x0", "float64"), ("x1", "float64"), ("x2", "float64")]
    assert names(tensor("float32", -1, 1)) == [("x0", "float32")]
    assert names(tensor("int64", -1, name="age"), tensor("float64", -1, 1, name="income")) == [
        ("age", "int64"),
        ("income", "float64"),
    ]
    for bad in (
        tensor("float64", -1, 28, 28),
        tensor("float64", 3, 3),
        tensor("complex64", -1, 2),
        tensor("float64"),
    ):
        with pytest.raises(Refused, match="no table"):
            names(bad)


@pytest.mark.parametrize(
    "kind", ["binary", "array", {"type": "array", "items": {"type": "double"}}, "object", "map", "any"]
)
def test_columns_that_are_no_plain_values_are_refused_by_name(tmp_path: Path, kind: Any) -> None:
    folder = skops_folder(tmp_path / "m", signature=signature([*COLUMNS, {"type": kind, "name": "odd"}]))
    with pytest.raises(Refused) as caught:
        resolve(folder)
    assert caught.value.field == "signature.odd"


def test_a_model_of_times_is_left_to_mlflow(tmp_path: Path) -> None:
    folder = skops_folder(tmp_path / "m", signature=signature([{"type": "datetime", "name": "when"}]))
    found = resolve(folder)
    assert (found.format, found.declared) == ("python", (Field("when", "string"),))


@pytest.mark.parametrize(
    "inputs", ["", "{", "[]", "3", json.dumps(COLUMNS + COLUMNS), json.dumps([{"name": "a"}])]
)
def test_signatures_that_are_none(tmp_path: Path, inputs: str) -> None:
    folder = skops_folder(tmp_path / "m", signature={"inputs": inputs})
    if inputs == "":
        assert resolve(folder).declared is None
        return
    with pytest.raises(Invalid):
        resolve(folder)


@pytest.mark.parametrize(
    ("content", "kind", "orient"),
    [
        ({"columns": ["a", "b b"], "data": [[1.0, 2.0], [3.0, None]]}, "dataframe", "split"),
        ([{"a": 1.0, "b b": 2.0}, {"a": 3.0, "b b": None}], "dataframe", "records"),
        ([[1.0, 2.0], [3.0, None]], "ndarray", None),
    ],
)
def test_the_input_example_becomes_rows(tmp_path: Path, content: Any, kind: str, orient: str | None) -> None:
    told = {"artifact_path": "input_example.json", "type": kind, "pandas_orient": orient}
    folder = skops_folder(tmp_path / "m", signature=signature(COLUMNS), saved_input_example_info=told)
    (folder / "input_example.json").write_text(json.dumps(content))
    example = resolve(folder).example
    assert example is not None
    assert pq.read_table(example).to_pydict() == {"a": [1.0, 3.0], "b b": [2.0, None]}


def test_an_example_that_is_no_table_is_left_alone(tmp_path: Path) -> None:
    told = {"artifact_path": "input_example.json", "type": "dataframe", "pandas_orient": "split"}
    folder = skops_folder(tmp_path / "m", signature=signature(COLUMNS), saved_input_example_info=told)
    for text in (
        "{",
        "[]",
        '{"columns": ["a"], "data": [[1]]}',
        '{"columns": ["a", "b b"], "data": [[1, {}], [2, 3]]}',
    ):
        (folder / "input_example.json").write_text(text)
        assert resolve(folder).example is None


def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret.pkl").write_bytes(pickle.dumps(FITTED))
    return tmp_path / "secret.pkl"


@pytest.mark.parametrize(
    "name", ["../secret.pkl", "{absolute}", "link.pkl", "linked/secret.pkl", "a/../../secret.pkl"]
)
@pytest.mark.parametrize("where", ["flavor", "function", "example"])
def test_paths_that_lead_out_of_the_folder(tmp_path: Path, name: str, where: str) -> None:
    path = name.format(absolute=secret(tmp_path))
    more: dict[str, Any] = {}
    flavors: dict[str, Any] = sklearn()
    if where == "flavor":
        flavors = sklearn(pickled_model=path, serialization_format="pickle")
    elif where == "function":
        flavors = {"python_function": {"loader_module": "x", "model_path": path}}
    else:
        more = {"saved_input_example_info": {"artifact_path": path, "type": "ndarray"}}
    folder = folder_of(tmp_path / "m", mlmodel(flavors, **more), {"model.skops": skops.io.dumps(FITTED)})
    (folder / "link.pkl").symlink_to(tmp_path / "secret.pkl")
    (folder / "linked").symlink_to(tmp_path)
    with pytest.raises(Invalid) as caught:
        resolve(folder)
    assert caught.value.found == path


def test_an_mlmodel_that_is_a_link(tmp_path: Path) -> None:
    folder_of(tmp_path / "other", mlmodel(sklearn()))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").symlink_to(tmp_path / "other" / "MLmodel")
    with pytest.raises(Invalid, match="link"):
        read_mlmodel(tmp_path / "m")
    with pytest.raises(Invalid, match="no such file"):
        read_mlmodel(tmp_path / "other" / "..")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a",
        "flavors: 3",
        "flavors: {sklearn: 1}",
        "flavors: {a: &x {}, b: *x}",
        "!!python/name:os.system",
    ],
)
def test_mlmodel_files_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises((Invalid, Unreadable)):
        resolve(tmp_path)


def test_what_carries_code_inside_needs_trust(tmp_path: Path) -> None:
    """MLmodel says skops in one place and pickle in the other: what is loaded is what was checked."""
    told = mlmodel(sklearn(pickled_model="model.pkl", serialization_format="pickle"))
    folder = folder_of(tmp_path / "m", told, {"model.pkl": pickle.dumps(FITTED)})
    with pytest.raises(Untrusted):
        open_model(folder, "mlflow", Hints())
    assert open_model(folder, "mlflow", Hints(), trusted=True).columns == 2
    lying = folder_of(tmp_path / "n", mlmodel(sklearn()), {"model.skops": pickle.dumps(FITTED)})
    with pytest.raises(TsavoError):
        open_model(lying, "mlflow", Hints())
