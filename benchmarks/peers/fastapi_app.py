"""The peer: a model behind FastAPI, as it is commonly written."""

import os

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load(os.environ["MODEL"])


class Rows(BaseModel):
    """Rows of floats."""

    rows: list[list[float]]


@app.post("/predict")
def predict(request: Rows) -> dict[str, list[list[float]]]:
    """Class probabilities of each row."""
    return {"probabilities": model.predict_proba(np.array(request.rows)).tolist()}
