"""JSON Schemas of tables in other protocols and of families, by the names that the OpenAPI description has."""

from __future__ import annotations

from typing import Final

from tsavo.rest.openapi_schemas import CELL, COUNT, ROLE, TEXT, Schema, array, of, record

__all__ = ["SCHEMAS"]

_SELECTION: Final[dict[str, Schema]] = {
    "segments": {"type": ["array", "null"], "items": TEXT, "description": "Which members; all without it."},
    "limit": {"type": ["integer", "null"], "minimum": 1, "description": "Members in one answer."},
    "after": {"type": "string", "description": "Members after this segment."},
}
_FAMILIES: Final[dict[str, Schema]] = {
    "FamilyState": record(
        {
            "family": TEXT,
            "key": {"type": "string", "description": "The column by which it is divided."},
            "dtype": TEXT,
            "unseen": TEXT,
            "parent": TEXT,
            "members": COUNT,
            "revision": COUNT,
        }
    ),
    "FamilyRequest": {"allOf": [of("InferenceRequest"), record({}, _SELECTION)]},
    "FamilyAnswer": record(
        {
            "family": TEXT,
            "id": TEXT,
            "rows": COUNT,
            "after": {
                "type": ["string", "null"],
                "description": "Where the next members begin; null at the end.",
            },
            "members": array(
                record(
                    {"segment": TEXT, "version": TEXT},
                    {
                        "role": ROLE,
                        "decision_id": TEXT,
                        "flags": array(TEXT),
                        "row_flags": {"type": "object", "additionalProperties": array(TEXT)},
                        "outputs": array(of("OutputTensor")),
                        "error": {
                            "type": "object",
                            "description": "Why nobody could answer for this segment.",
                        },
                    },
                    anyOf=[{"required": ["outputs"]}, {"required": ["error"]}],
                )
            ),
        }
    ),
}
_ROW: Final[Schema] = {
    "oneOf": [
        {"type": "object", "additionalProperties": CELL},
        array(CELL),
    ]
}
_INSTANCE: Final[Schema] = {"oneOf": [*_ROW["oneOf"], CELL]}
_INSTANCES: Final = array(
    _INSTANCE, minItems=1, description="Rows, as objects or lists; of one column bare values."
)
_COLUMNS: Final[Schema] = {
    "oneOf": [
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": array({"anyOf": [CELL, array(CELL, minItems=1, maxItems=1)]}),
        },
        _INSTANCES,
    ],
    "description": "Columns by name, or rows.",
}
_SPLIT: Final = record(
    {"data": array({"oneOf": [array(CELL), CELL]}, minItems=1)},
    {"columns": {"type": ["array", "null"], "items": TEXT}, "index": {"description": "Ignored."}},
    additionalProperties=False,
)
_PARAMS: Final[Schema] = {"type": ["object", "null"], "maxProperties": 0}
_TABLES: Final[dict[str, Schema]] = {
    "Rows": record(
        {"rows": array(_INSTANCE, minItems=1)},
        {"outputs": {"type": ["array", "null"], "items": TEXT, "description": "Which outputs come."}},
        additionalProperties=False,
    ),
    "ScoredRows": record(
        {
            "endpoint": TEXT,
            "version": TEXT,
            "role": ROLE,
            "flags": array(TEXT),
            "rows": array(
                record(
                    {"decision_id": TEXT, "flags": array(TEXT)},
                    {"version": TEXT, "role": ROLE},
                    description="Outputs are members by their names; probabilities are an object by class.",
                )
            ),
        }
    ),
    "Invocation": {
        "anyOf": [
            record({"dataframe_split": _SPLIT}, {"params": _PARAMS}),
            record(
                {"dataframe_records": array({"type": "object", "additionalProperties": CELL}, minItems=1)},
                {"params": _PARAMS},
            ),
            record({"instances": _INSTANCES}, {"params": _PARAMS}),
            record({"inputs": _COLUMNS}, {"params": _PARAMS}),
        ],
        "description": "Exactly one of the four forms.",
    },
    "Prediction": {
        "anyOf": [record({"instances": _INSTANCES}), record({"inputs": _COLUMNS})],
        "description": "Exactly one of the two.",
    },
    "Predictions": record(
        {"predictions": array({}, description="One for each row: what the model's own `predict` gives.")}
    ),
}

SCHEMAS: Final[dict[str, Schema]] = {**_FAMILIES, **_TABLES}
"""Name -> JSON Schema (draft 2020-12)."""
