"""JSON Schemas of the Open Inference Protocol and of problems, by the names that the OpenAPI description has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, get_args

from tsavo.endpoints.open_tensors import DATATYPES
from tsavo.vocabulary import Role

__all__ = ["CELL", "COUNT", "ROLE", "SCHEMAS", "TEXT", "Schema", "array", "of", "record"]

Schema: TypeAlias = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
_TRUTH: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
CELL: Final[Schema] = {"type": ["number", "string", "boolean", "null"]}
ROLE: Final[Schema] = {"type": "string", "enum": list(get_args(Role))}
_MAYBE_TEXT: Final[Schema] = {"type": ["string", "null"]}


def of(name: str) -> Schema:
    """The schema of this name.

    >>> of("Problem")
    {'$ref': '#/components/schemas/Problem'}
    """
    return {"$ref": f"#/components/schemas/{name}"}


def record(
    required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, **more: Any
) -> Schema:
    """An object with these members; others are left alone, unless `more` says otherwise."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
    } | more


def array(items: Schema, **more: Any) -> Schema:
    """An array of these."""
    return {"type": "array", "items": items} | more


_PARAMETERS: Final[Schema] = {
    "type": ["object", "null"],
    "description": "Those that mean nothing here are taken as they come.",
}
_NUMBER_OF_ROWS: Final[Schema] = {"type": "integer", "minimum": 1}
# A tensor without its data in JSON has it in the bytes that follow.
_BINARY: Final = {
    "required": ["parameters"],
    "properties": {
        "parameters": {
            "type": "object",
            "required": ["binary_data_size"],
            "properties": {"binary_data_size": COUNT},
        }
    },
}
_PROBLEM: Final = record(
    {
        "type": {"type": "string", "pattern": "^tsavo:[a-z-]+$"},
        "title": TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "All of it in one line, for people."},
        "error": {"type": "string", "description": "The same, where the Open Inference Protocol has it."},
    },
    {
        "kind": {"type": "string", "description": "What went wrong, in one word, for programs."},
        "reason": TEXT,
        "field": {"type": "string", "description": "The member, column, row or header at fault."},
        "found": {"type": "string", "description": "What was there, shortened."},
        "expected": TEXT,
        "next_step": TEXT,
        "retry_after": {"type": "number", "description": "Seconds.", "minimum": 0},
        "details": {},
    },
    description="A problem document (RFC 9457).",
)
_INFERENCE: Final[dict[str, Schema]] = {
    "Datatype": {"type": "string", "enum": list(DATATYPES)},
    "InputTensor": record(
        {
            "name": {
                "type": "string",
                "description": "A column of the model, or any name for a matrix of all.",
            },
            "shape": array(
                _NUMBER_OF_ROWS, minItems=1, maxItems=2, description="[rows], [rows, 1] or [rows, columns]"
            ),
            "datatype": of("Datatype"),
        },
        {
            "data": array(
                {"anyOf": [CELL, array(CELL)]},
                description="Row by row, flat or nested; null is a missing value.",
            ),
            "parameters": record(
                {},
                {"binary_data_size": {**COUNT, "description": "Bytes of this tensor after the JSON part."}},
                type=["object", "null"],
            ),
        },
        anyOf=[{"required": ["data"]}, _BINARY],
    ),
    "RequestedOutput": record(
        {"name": TEXT},
        {
            "parameters": record(
                {},
                {
                    "binary_data": {
                        "type": ["boolean", "null"],
                        "description": "Whether it comes as raw bytes.",
                    }
                },
                type=["object", "null"],
            )
        },
    ),
    "InferenceRequest": record(
        {"inputs": array(of("InputTensor"), minItems=1)},
        {
            "id": {**_MAYBE_TEXT, "description": "Echoed."},
            "outputs": {
                "type": ["array", "null"],
                "items": of("RequestedOutput"),
                "description": "Which outputs come, and in which order; all without it.",
            },
            "parameters": record(
                {},
                {
                    "binary_data_output": {
                        "type": ["boolean", "null"],
                        "description": "Whether outputs come as raw bytes.",
                    }
                },
                type=["object", "null"],
                description=_PARAMETERS["description"],
            ),
        },
    ),
    "OutputTensor": record(
        {
            "name": TEXT,
            "shape": array(COUNT, minItems=1, maxItems=2),
            "datatype": of("Datatype"),
        },
        {
            "data": array(CELL, description="Row by row, flat."),
            "parameters": record(
                {}, {"binary_data_size": {**COUNT, "description": "Bytes of it after the JSON part."}}
            ),
        },
        anyOf=[{"required": ["data"]}, _BINARY],
    ),
    "InferenceAnswer": record(
        {
            "model_name": {"type": "string", "description": "The endpoint."},
            "model_version": TEXT,
            "id": TEXT,
            "parameters": record(
                {
                    "decision_id": {"type": "string", "description": "Of row 0."},
                    "version": {"type": "string", "description": "`model@number`"},
                    "role": ROLE,
                    "flags": array(TEXT),
                },
                {
                    "row_flags": {
                        "type": "object",
                        "additionalProperties": array(TEXT),
                        "description": "Flags of single rows, by the row's number.",
                    },
                    "row_versions": array(
                        TEXT, description="Where several versions answered some rows each."
                    ),
                    "row_roles": array(ROLE, description="Where they had several parts in the route."),
                },
            ),
            "outputs": array(of("OutputTensor")),
        }
    ),
}
_TENSOR_METADATA: Final = record(
    {"name": TEXT, "datatype": of("Datatype"), "shape": array({"type": "integer", "minimum": -1})},
    {
        "parameters": record(
            {},
            {
                "nullable": _TRUTH,
                "categories": array({}),
                "unseen": {"type": "string", "enum": ["flag", "refuse"]},
            },
        )
    },
)
_CONFIGURED: Final = record(
    {
        "name": TEXT,
        "data_type": {"type": "string", "pattern": "^TYPE_[A-Z0-9]+$"},
        "dims": array({"type": "integer", "minimum": -1}),
    }
)
_PARTS_OF_TIME: Final = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
_DURATION: Final = record({"count": COUNT, "ns": COUNT})
_ABOUT: Final[dict[str, Schema]] = {
    "Server": record({"name": TEXT, "version": TEXT, "extensions": array(TEXT)}),
    "Live": record({"live": _TRUTH}),
    "Ready": record({"ready": _TRUTH}),
    "Alive": record({"status": {"const": "alive"}}),
    "EndpointReady": record({"name": TEXT, "ready": {"const": True}}, {"version": TEXT}),
    "Metadata": record(
        {
            "name": TEXT,
            "versions": array(TEXT, description="The champion's first."),
            "platform": TEXT,
            "inputs": array(of("TensorMetadata")),
            "outputs": array(of("TensorMetadata")),
            "parameters": record(
                {
                    "version": TEXT,
                    "task": TEXT,
                    "classes": {"type": ["array", "null"]},
                    "runtime": TEXT,
                    "state": record({"name": TEXT}),
                }
            ),
        }
    ),
    "TensorMetadata": _TENSOR_METADATA,
    "Configuration": record(
        {
            "name": TEXT,
            "platform": TEXT,
            "backend": TEXT,
            "max_batch_size": {"const": 0},
            "input": array(_CONFIGURED),
            "output": array(_CONFIGURED),
            "parameters": {
                "type": "object",
                "additionalProperties": record({"string_value": TEXT}),
            },
        }
    ),
    "Statistics": record(
        {
            "model_stats": array(
                record(
                    {
                        "name": TEXT,
                        "version": TEXT,
                        "last_inference": {**COUNT, "description": "Milliseconds since 1970."},
                        "inference_count": {**COUNT, "description": "Rows."},
                        "execution_count": {**COUNT, "description": "Requests."},
                        "inference_stats": record(dict.fromkeys(_PARTS_OF_TIME, _DURATION)),
                        "batch_stats": array({}),
                    }
                )
            )
        },
        {"next": {"type": "string", "description": "Where the next page begins: `?after=` this."}},
    ),
    "IndexQuestion": record({}, {"ready": _TRUTH}),
    "Index": array(
        record(
            {
                "name": TEXT,
                "version": TEXT,
                "state": {"type": "string", "enum": ["READY", "LOADING", "UNAVAILABLE"]},
                "reason": TEXT,
            }
        )
    ),
    "EndpointNames": record(
        {"models": array(TEXT)},
        {"next_after": {"type": "string", "description": "Where the next page begins: `?after=` this."}},
    ),
}

SCHEMAS: Final[dict[str, Schema]] = {"Problem": _PROBLEM, **_INFERENCE, **_ABOUT}
"""Name -> JSON Schema (draft 2020-12), of the Open Inference Protocol and of what all protocols share."""
