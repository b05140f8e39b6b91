"""KServe's published client, unmodified, in an environment of its own because of what it needs beside it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.environments import fresh_environment
from tests.grpc_door.served import Served

KSERVE = "kserve==0.21.0"

PROGRAM = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest

GOOD = {
    "whole": ("INT64", np.array([1, 2**62])),
    "small": ("INT32", np.array([0, -(2**31)], np.int32)),
    "number": ("FP64", np.array([0.1, np.nan])),
    "single": ("FP32", np.array([0.5, np.nan], np.float32)),
    "yes": ("BOOL", np.array([True, False])),
    "text": ("BYTES", np.array(["voi", "\\u2603"], object)),
}


def inputs(raw):
    for name, (datatype, values) in GOOD.items():
        given = InferInput(name, [2], datatype)
        given.set_data_from_numpy(values, binary_data=raw)
        yield given


async def main(address):
    client = InferenceGRPCClient(address)
    told = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model": await client.is_model_ready("mixed"),
        "nobody": await client.is_model_ready("nobody"),
    }
    for way, raw in (("raw", True), ("typed", False)):
        request = InferRequest(model_name="mixed", infer_inputs=list(inputs(raw)), request_id=way)
        answer = await client.infer(request)
        assert answer.id == way
        told[way] = {output.name: repr(output.as_numpy().tolist()) for output in answer.outputs}
        told[way]["role"] = answer.parameters["role"].string_param
    try:
        await client.infer(InferRequest(model_name="nobody", infer_inputs=list(inputs(True))))
    except Exception as error:
        told["refused"] = str(error)
    await client.close()
    print("\\n" + json.dumps(told))


asyncio.run(main(sys.argv[1]))
"""


def test_kserves_client_is_answered(door: Served, tmp_path: Path) -> None:
    python = fresh_environment(tmp_path / "kserve", KSERVE)
    words = [str(python), "-c", PROGRAM, door.address]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert [told[name] for name in ("live", "ready", "model", "nobody")] == [True, True, True, False]
    assert "NOT_FOUND" in told["refused"]
    for way in ("raw", "typed"):
        assert told[way].pop("role") == "champion"
        text = told[way].pop("same_text")
        assert text in {repr(["voi", "☃"]), repr([b"voi", "☃".encode()])}
        assert told[way] == {
            "same_whole": repr([1, 2**62]),
            "same_small": repr([0, -(2**31)]),
            "same_number": "[0.1, nan]",
            "same_single": "[0.5, nan]",
            "same_yes": "[True, False]",
        }
