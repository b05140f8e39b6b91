"""The peer: a model behind Triton, with pytriton and its dynamic batching."""

import sys
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier

COLUMNS = 20


def main(port: int) -> None:
    """Fit the benchmark's model here, because numpy 1 cannot read what numpy 2 has pickled, and serve it."""
    rows, labels = make_classification(4000, COLUMNS, n_informative=10, random_state=0)
    model = GradientBoostingClassifier(n_estimators=100, random_state=0).fit(rows, labels)

    @batch  # type: ignore[untyped-decorator]
    def infer(**inputs: Any) -> list[Any]:
        return [model.predict_proba(inputs["input"])]

    config = TritonConfig(http_port=port, grpc_port=port + 1, metrics_port=port + 2, log_verbose=0)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="bench",
            infer_func=infer,
            inputs=[Tensor(name="input", dtype=np.float64, shape=(COLUMNS,))],
            outputs=[Tensor(name="probabilities", dtype=np.float64, shape=(2,))],
            config=ModelConfig(max_batch_size=1024, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
