"""Run by tests/rest/test_mlflow_roads.py in an environment that has MLflow: ``python mlflow_protocol.py FOLDER PORT``.

Reads ``requests.json``, and writes what MLflow's own scoring server answers to each request, and what MLflow's own
scoring client gets from the server at PORT, into ``answers.json``.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import mlflow  # noqa: E402
import pandas as pd  # noqa: E402
from mlflow.pyfunc import scoring_server  # noqa: E402
from mlflow.pyfunc.scoring_server.client import ScoringServerClient  # noqa: E402
from mlflow.types import ColSpec, Schema  # noqa: E402

COLUMNS = {"age": "long", "income": "double", "member": "boolean", "city": "string"}


class Answers(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Answers as models of a kind do: with labels, with values, or with a table."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """The same sums as the test's own models."""
        rows = pd.DataFrame(model_input)
        value = rows["age"] / 2 + rows["income"].fillna(0) * rows["member"]
        label = ["high" if high else "low" for high in value > 20]
        if self.kind == "labels":
            return pd.Series(label).to_numpy()
        return (
            value.to_numpy()
            if self.kind == "values"
            else pd.DataFrame({"value": value, "city": rows["city"]})
        )


def main(folder: Path, port: int) -> None:
    schema = Schema([ColSpec(kind, name) for name, kind in COLUMNS.items()])
    requests = json.loads((folder / "requests.json").read_text())
    told: dict[str, Any] = {}
    for kind in ("labels", "values", "table"):
        mlflow.pyfunc.save_model(
            folder / kind,
            python_model=Answers(kind),
            signature=mlflow.models.ModelSignature(inputs=schema),
            pip_requirements=["mlflow"],
        )
        model = mlflow.pyfunc.load_model(str(folder / kind))
        replies = [
            scoring_server.invocations(body.encode(), content_type, model, schema)  # type: ignore[no-untyped-call]
            for content_type, body in requests
        ]
        told[kind] = [[reply.status, reply.response] for reply in replies]
    client = ScoringServerClient("127.0.0.1", port)  # type: ignore[no-untyped-call]
    client.wait_server_ready(timeout=60)  # type: ignore[no-untyped-call]
    frame = pd.read_parquet(folder / "rows.parquet")
    told["client"] = {
        "version": client.get_version(),  # type: ignore[no-untyped-call]
        "frame": client.invoke(frame).get_predictions().to_dict("list"),
        "empty params": client.invoke(frame, {}).get_predictions().to_dict("list"),
        "list": client.invoke(frame.astype(object).where(frame.notna(), None).to_dict("records"))
        .get_predictions()
        .to_dict("list"),
    }
    (folder / "answers.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
