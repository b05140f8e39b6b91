"""A program for an environment with KServe's published client: calls a gateway, and prints what came back as JSON.

``python kserve_calls.py URL``: the endpoint ``matrix`` has three columns of numbers, ``mixed`` a column of each kind.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig  # type: ignore[import-not-found]

NUMBERS = {
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
GOOD = {
    "whole": ("INT64", np.array([1, 2**62])),
    "small": ("INT32", np.array([0, -(2**31)], np.int32)),
    "number": ("FP64", np.array([0.1, np.nan])),
    "single": ("FP32", np.array([0.5, np.nan], np.float32)),
    "yes": ("BOOL", np.array([True, False])),
    "text": ("BYTES", np.array(["voi", "\u2603"], object)),
}


def given(name: str, datatype: str, values: Any, binary: bool) -> Any:
    tensor = InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    return tensor


async def by_v2(url: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    told: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, "mixed"),
        "nobody": await client.is_model_ready(url, "nobody"),
    }
    for way, binary in (("binary", True), ("json", False)):
        columns = [given(name, datatype, values, binary) for name, (datatype, values) in GOOD.items()]
        request = InferRequest(model_name="mixed", infer_inputs=columns, request_id=way)
        answer = await client.infer(url, request, model_name="mixed")
        told[way] = {output.name: repr(output.as_numpy().tolist()) for output in answer.outputs}
        told[way] |= {"id": answer.id, "role": answer.parameters["role"]}
        for datatype, dtype in NUMBERS.items():
            if datatype == "FP16" and not binary:
                continue  # this client refuses to send it so
            matrix = given("m", datatype, np.array([[1, 2, 3], [4, 5, 6]], dtype), binary)
            request = InferRequest(
                model_name="matrix", infer_inputs=[matrix], parameters={"binary_data_output": binary}
            )
            answer = await client.infer(url, request, model_name="matrix")
            told[f"{way} {datatype}"] = [output.as_numpy().tolist() for output in answer.outputs]
    try:
        await client.infer(
            url, InferRequest(model_name="mixed", infer_inputs=columns[1:]), model_name="mixed"
        )
    except Exception as error:  # whatever this client makes of it
        told["refused"] = str(error)
    await client.close()
    return told


async def by_v1(url: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    told: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "model": await client.is_model_ready(url, "mixed"),
        "broken": await client.is_model_ready(url, "broken"),
        "predicted": await client.infer(url, {"instances": [[1, 2, None], [4, 5, 6]]}, model_name="matrix"),
    }
    try:
        await client.explain(url, model_name="matrix", data={"instances": [[1, 2, 3]]})
    except Exception as error:  # whatever this client makes of it
        told["refused"] = str(error)
    await client.close()
    return told


if __name__ == "__main__":
    answers = {"v1": asyncio.run(by_v1(sys.argv[1])), "v2": asyncio.run(by_v2(sys.argv[1]))}
    sys.stdout.write("\n" + json.dumps(answers) + "\n")
