"""The peer: a model behind Ray Serve."""

import os
import sys
import threading
from typing import Any

import joblib
import numpy as np
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Bench:
    """One model."""

    def __init__(self, path: str) -> None:
        self.model = joblib.load(path)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Class probabilities of each row."""
        rows = np.array((await request.json())["rows"])
        return {"probabilities": self.model.predict_proba(rows).tolist()}


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=2, log_to_driver=False)
    serve.start(http_options={"port": int(sys.argv[1]), "access_log": False})
    application: Any = Bench
    serve.run(application.bind(os.environ["MODEL"]), route_prefix="/predict")
    threading.Event().wait()
