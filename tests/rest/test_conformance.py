"""A fuzzer of APIs against a running Tsavo: our own description, and the one that the protocol's authors publish.

``CONFORMANCE_EXAMPLES`` says how many random requests each address gets beside those that a description calls
for; 10 without it. ``CONFORMANCE_DESCRIPTION`` names another published description to try, such as
``open_inference_rest.yaml`` of the protocol's own repository.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest
import requests
import schemathesis
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rest.conformance_models import NAMES, fitted, narrowed, running_with_models
from tsavo.rest.openapi import description

EXAMPLES: Final = int(os.environ.get("CONFORMANCE_EXAMPLES", "10"))
ARROW: Final = "application/vnd.apache.arrow.stream"

# The description of the Open Inference Protocol that Seldon publishes with MLServer, unchanged: the file
# mlserver/rest/openapi/dataplane.json of the distribution mlserver 1.7.1, Apache-2.0.
PUBLISHED: Final = Path(__file__).parent / "open_inference_protocol.json"
PUBLISHED_SHA256: Final = "7e7e5c1acc538233bb125ee3dd50cb46063e191d83d82ce1a556e2b13cc1d97b"


def configured(**checks: Any) -> Any:
    return schemathesis.Config.from_dict(
        {
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            "checks": checks,
        }
    )


OFF: Final = {"enabled": False}
OWN: Final = description("1.2.3")
# Which columns there are, no description says, so that much of what it allows is refused.
ALL: Final = schemathesis.openapi.from_dict(narrowed(OWN), config=configured(positive_data_acceptance=OFF))
FITTED: Final = schemathesis.openapi.from_dict(fitted(OWN), config=configured(negative_data_rejection=OFF))


def an_arrow_stream(numbers: list[float | None], cut: int) -> bytes:
    table = pa.table({name: pa.array(numbers, pa.float64()) for name in "abc"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    whole: bytes = sink.getvalue().to_pybytes()
    return whole[: len(whole) - cut]


FLOATS: Final = st.lists(st.none() | st.floats(), max_size=3)
schemathesis.openapi.media_type(
    ARROW, st.binary() | st.builds(an_arrow_stream, FLOATS, st.sampled_from([0, 0, 1, 8, 100]))
)


def published() -> dict[str, Any]:
    """The published description, as the text of the specification beside it says what it leaves out.

    "A failed request must be indicated by an HTTP error status (typically 400)" and has a member ``error``; the
    description has 400 alone, and leaves the member out of what is required. Members that are optional may be null,
    as MLServer's own clients send them. Roads of extensions that Tsavo does not offer (generating text, streams) are
    left out.
    """
    other = os.environ.get("CONFORMANCE_DESCRIPTION")
    text = PUBLISHED.read_text() if other is None else Path(other).read_text()
    # Its name for what is no type of OpenAPI is "bytes"; the other description writes ${NAME} for a part of a path.
    document: dict[str, Any] = yaml.safe_load(
        text.replace('"type": "bytes"', '"type": "string"').replace("${", "{")
    )
    failed = {
        "description": "It failed.",
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                }
            }
        },
    }
    document["paths"] = {
        path: operations
        for path, operations in document["paths"].items()
        if not path.endswith(("_stream", "/generate"))
    }
    for operations in document["paths"].values():
        for parameter in operations.get("parameters", []):
            version = "version" in parameter["name"].lower()
            parameter["schema"] = {"type": "string", "enum": ["1"] if version else NAMES}
        for method, operation in operations.items():
            if method != "parameters":
                answers = {"default": failed, "200": operation["responses"]["200"]}
                operation["responses"] = answers
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if "equest" in name:
            for member in set(schema.get("properties", {})) - set(schema.get("required", [])):
                schema["properties"][member] = {"nullable": True, "anyOf": [schema["properties"][member]]}
    return document


THEIRS: Final = schemathesis.openapi.from_dict(published(), config=configured(positive_data_acceptance=OFF))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_with_models(tmp_path_factory.mktemp("conformance")) as running:
        yield running.gateway


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as connected:
        yield connected


@ALL.parametrize()
def test_every_address_answers_as_our_description_says(
    case: Any, gateway: str, session: requests.Session
) -> None:
    case.call_and_validate(base_url=gateway, session=session, timeout=30)


@FITTED.exclude(path_regex="/(load|unload)$|:explain$").parametrize()
def test_what_suits_the_model_is_answered(case: Any, gateway: str, session: requests.Session) -> None:
    case.call_and_validate(base_url=gateway, session=session, timeout=30)


def test_the_published_description_is_the_published_one() -> None:
    assert hashlib.sha256(PUBLISHED.read_bytes()).hexdigest() == PUBLISHED_SHA256
    assert "Apache 2.0" in PUBLISHED.read_text()


@THEIRS.parametrize()
def test_every_address_answers_as_the_protocols_description_says(
    case: Any, gateway: str, session: requests.Session
) -> None:
    case.call_and_validate(base_url=gateway, session=session, timeout=30)


def a_binary_body(rows: list[float], size: int, cut: int, more: bytes, length: int) -> tuple[bytes, str]:
    """A request with one raw tensor that has something wrong with it, as long as one of the last four is not 0."""
    raw = struct.pack(f"<{len(rows)}d", *rows)
    tensor = {
        "name": "m",
        "shape": [len(rows) // 3, 3],
        "datatype": "FP64",
        "parameters": {"binary_data_size": len(raw) + size},
    }
    document = json.dumps({"inputs": [tensor]}).encode()
    body = (document + raw)[: len(document) + len(raw) - cut] + more
    return body, str(len(document) + length)


NUMBER: Final = st.floats(-1e3, 1e3)
SLIP: Final = st.sampled_from([0, 0, 0, 1, -1, 8, 10**12, -(10**12)])
BINARY: Final = st.builds(
    a_binary_body,
    st.integers(1, 4).flatmap(lambda rows: st.lists(NUMBER, min_size=3 * rows, max_size=3 * rows)),
    SLIP,
    st.integers(0, 3),
    st.sampled_from([b"", b"", b"\0", b"{}"]),
    SLIP,
)


@settings(max_examples=8 * EXAMPLES, derandomize=True, deadline=None, database=None)
@given(BINARY | st.tuples(st.binary(), st.text("0123456789-+ e.x", max_size=20)))
def test_raw_tensors_are_answered_or_refused_with_words(
    gateway: str, session: requests.Session, request_: tuple[bytes, str]
) -> None:
    body, length = request_
    headers = {"Inference-Header-Content-Length": length.strip()}
    answer = session.post(f"{gateway}/v2/models/numbers/infer", body, headers=headers, timeout=30)
    assert answer.status_code in {200, 400, 422}, answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["field"]
