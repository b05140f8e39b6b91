"""The peer: a model as a BentoML service."""

import os

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Bench:
    """One model."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, rows: list[list[float]]) -> dict[str, list[list[float]]]:
        """Class probabilities of each row."""
        return {"probabilities": self.model.predict_proba(np.array(rows)).tolist()}
