"""The peer: a model behind LitServe."""

import os
import sys
from typing import Any

import joblib
import litserve
import numpy as np


class Bench(litserve.LitAPI):  # type: ignore[misc]
    """One model."""

    def setup(self, device: str) -> None:
        """Load it."""
        self.model = joblib.load(os.environ["MODEL"])

    def decode_request(self, request: dict[str, Any]) -> Any:
        """JSON to rows."""
        return np.array(request["rows"])

    def predict(self, rows: Any) -> Any:
        """Class probabilities of each row."""
        return self.model.predict_proba(rows)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Probabilities to JSON."""
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Bench(), accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[1]), log_level="warning", generate_client_file=False, access_log=False)
