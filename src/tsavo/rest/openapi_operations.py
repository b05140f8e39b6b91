"""What each road of this door takes and answers, by its method and path, as OpenAPI says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tsavo.rest.openapi_components import ORIGIN, parameter, reference
from tsavo.rest.openapi_schemas import Schema, of

__all__ = ["OPERATIONS", "TAGS"]

_JSON: Final = "application/json"
_CSV: Final = "text/csv"
_ARROW: Final = "application/vnd.apache.arrow.stream"
_BYTES: Final = "application/octet-stream"
_PLAIN: Final = "text/plain"
_METRICS: Final = "application/openmetrics-text"

TAGS: Final = {
    "Open Inference Protocol": "Version 2, with the extensions that `GET /v2` lists.",
    "Families": "Endpoints of many versions, one for each value of a column.",
    "Rows": "Tables of rows: JSON for people, Arrow for programs.",
    "MLflow and SageMaker": "MLflow's scoring protocol 2.0, which is SageMaker's too.",
    "KServe V1": "KServe's first protocol, which TensorFlow Serving began.",
    "Figures": "For metrics collectors, and as Triton's clients ask for them.",
    "Server": "The gateway itself.",
}


_PARTS: Final = {"{endpoint}": "Endpoint", "{family}": "Family", "{version}": "Version"}
_EVERYWHERE: Final = ("403", "405")
_ASKING: Final = ("404", "500", "503")
_POSTED: Final = ("400", "404", "409", "413", "422", "429")
_SCORING: Final = ("400", "404", "409", "413", "422", "429", "500", "503")


def _operation(
    name: str,
    tag: str,
    summary: str,
    answers: Mapping[str, Schema],
    *,
    path: str,
    errors: Sequence[str] = (),
    takes: Mapping[str, Schema] | None = None,
    required: bool = True,
    parameters: Sequence[dict[str, Any]] = (),
    headers: Mapping[str, Any] | None = None,
    description: str = "",
    others: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One operation.

    Parameters
    ----------
    answers, takes
        Content type -> schema of the body; nothing at all where it never works.
    errors
        Statuses out of `RESPONSES`.
    others
        Further answers by their status.
    parameters
        Besides those within the path.
    """
    content = {kind: {"schema": schema} if schema else {} for kind, schema in answers.items()}
    ok: dict[str, Any] = {"description": "It worked.", "content": content}
    ok["headers"] = {"traceparent": reference("headers", "Trace")} | dict(headers or {})
    operation: dict[str, Any] = {"operationId": name, "tags": [tag], "summary": summary}
    if description:
        operation["description"] = description
    of_path = [reference("parameters", known) for part, known in _PARTS.items() if part in path]
    operation["parameters"] = [*of_path, *parameters, reference("parameters", "Trace")]
    if takes is not None:
        bodies = {kind: {"schema": schema} for kind, schema in takes.items()}
        operation["requestBody"] = {"required": required, "content": bodies}
    refusals = {
        status: reference("responses", f"Problem{status}") for status in sorted((*errors, *_EVERYWHERE))
    }
    operation["responses"] = ({"200": ok} if answers else {}) | refusals | dict(others or {})
    return operation


_KEY: Final = reference("parameters", "IdempotencyKey")
_HEADED: Final = tuple(reference("parameters", name) for name in ("Caller", "SplitKey", "Encoding"))
_REPLAYED: Final = {"Idempotency-Replayed": reference("headers", "Replayed")}
_ANYTHING: Final[Schema] = {}


def _get(path: str, name: str, tag: str, summary: str, schema: Schema, **more: Any) -> tuple[Any, Any]:
    answers = more.pop("answers", {_JSON: schema})
    more.setdefault("errors", _ASKING if "{" in path else ())
    return ("GET", path), _operation(name, tag, summary, answers, path=path, **more)


def _post(path: str, name: str, tag: str, summary: str, schema: Schema, **more: Any) -> tuple[Any, Any]:
    answers = more.pop("answers", {_JSON: schema})
    more.setdefault("errors", _SCORING)
    parameters = (*more.pop("parameters", _HEADED), _KEY)
    headers = more.pop("headers", {}) | _REPLAYED
    described = _operation(
        name, tag, summary, answers, path=path, parameters=parameters, headers=headers, **more
    )
    return ("POST", path), described


def _infer(path: str, name: str, summary: str) -> tuple[Any, Any]:
    answer = of("InferenceAnswer")
    return _post(
        path,
        name,
        _V2,
        summary,
        answer,
        answers={_JSON: answer, _BYTES: _ANYTHING},
        takes={_JSON: of("InferenceRequest"), _BYTES: _ANYTHING},
        parameters=(*_HEADED, reference("parameters", "JsonLength")),
        headers={"Inference-Header-Content-Length": reference("headers", "JsonLength")},
        description="JSON, or JSON followed by raw tensors; the content type is not looked at, the header "
        "`Inference-Header-Content-Length` decides. The answer has raw tensors where `binary_data` or "
        "`binary_data_output` asks for them.",
    )


def _query(name: str, description: str, schema: Schema) -> dict[str, Any]:
    return parameter(name, "query", description, schema)


def _up_to(most: int, least: int = 0) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


_V2, _FAMILIES, _ROWS, _MLFLOW, _V1, _FIGURES, _SERVER = TAGS
_AFTER: Final = _query("after", "Names after this one.", {"type": "string"})
_E: Final = "/v2/models/{endpoint}"
_EV: Final = "/v2/models/{endpoint}/versions/{version}"
_M: Final = "/endpoints/{endpoint}"
_EMPTY: Final[Schema] = {"type": "string"}
_INVOCATION: Final[dict[str, Any]] = {
    "takes": {_JSON: of("Invocation"), _CSV: {"type": "string"}},
    "headers": ORIGIN,
}
_ONLY: Final = "For a gateway with one endpoint only."

OPERATIONS: Final[dict[tuple[str, str], dict[str, Any]]] = dict(
    (
        _get("/v2", "server", _V2, "Name, version and extensions of the server", of("Server")),
        _get("/v2/", "server_too", _V2, "The same", of("Server")),
        _get("/v2/health/live", "live", _V2, "Whether the process is up", of("Live")),
        _get(
            "/v2/health/ready",
            "ready",
            _V2,
            "Whether all routes are read",
            of("Ready"),
            others={"503": {"description": "Not yet.", "content": {_JSON: {"schema": of("Ready")}}}},
        ),
        _get("/v2/openapi.json", "description", _SERVER, "This description", {"type": "object"}),
        _infer(f"{_E}/infer", "infer", "Score"),
        _get(_E, "metadata", _V2, "Inputs, outputs and versions", of("Metadata")),
        _get(f"{_E}/ready", "endpoint_ready", _V2, "Whether it can answer", of("EndpointReady")),
        _get(f"{_E}/config", "config", _V2, "As Triton's clients read it", of("Configuration")),
        _infer(f"{_EV}/infer", "infer_version", "Score on one version; nothing falls back for it"),
        _get(_EV, "metadata_version", _V2, "Inputs and outputs of one version", of("Metadata")),
        _get(f"{_EV}/ready", "version_ready", _V2, "Whether it can answer", of("EndpointReady")),
        _get(f"{_EV}/config", "config_version", _V2, "As Triton's clients read it", of("Configuration")),
        _post(
            "/v2/repository/index",
            "index",
            _V2,
            "All endpoints' versions and how they are doing",
            of("Index"),
            takes={_JSON: of("IndexQuestion")},
            required=False,
            parameters=(reference("parameters", "Encoding"),),
            errors=("400", "409", "413", "422", "429", "500"),
        ),
        _get(
            "/v2/families/{family}",
            "family",
            _FAMILIES,
            "How it stands here",
            of("FamilyState"),
            errors=(*_ASKING, "422"),
        ),
        _post(
            "/v2/families/{family}/infer_all",
            "infer_all",
            _FAMILIES,
            "Score rows by every member in one pass",
            of("FamilyAnswer"),
            takes={_JSON: of("FamilyRequest"), _BYTES: _ANYTHING},
            parameters=(*_HEADED, reference("parameters", "JsonLength")),
            description="The inputs are those of `/v2/models/{endpoint}/infer` without the column that chooses the "
            "segment.",
        ),
        *(
            _post(
                f"/v2/repository/models/{{endpoint}}/{verb}",
                f"{verb}_endpoint",
                _V2,
                "Refused: what serves is the control plane's to say",
                _ANYTHING,
                answers={},
                parameters=(),
                errors=_POSTED,
            )
            for verb in ("load", "unload")
        ),
        _get(
            "/v2/models/stats",
            "statistics",
            _FIGURES,
            "What all endpoints answered, in pages",
            of("Statistics"),
            parameters=(_query("limit", "Endpoints on a page.", _up_to(1000)), _AFTER),
            errors=("422", "500"),
        ),
        _get(f"{_E}/stats", "statistics_endpoint", _FIGURES, "What its versions answered", of("Statistics")),
        _get(f"{_EV}/stats", "statistics_version", _FIGURES, "What one version answered", of("Statistics")),
        _get(
            "/metrics",
            "metrics",
            _FIGURES,
            "For a metrics collector",
            {},
            answers={_METRICS: _EMPTY, _PLAIN: _EMPTY},
            parameters=(
                _query("endpoints", "How many of the busiest endpoints have figures.", _up_to(1000)),
                _query("endpoint", "The one endpoint that has figures.", {"type": "string"}),
            ),
            errors=("404", "422", "500"),
        ),
        _post(
            f"{_M}/score",
            "score",
            _ROWS,
            "Score rows; answers as the request came, or as `Accept` says",
            of("ScoredRows"),
            answers={_JSON: of("ScoredRows"), _ARROW: _ANYTHING},
            takes={_JSON: of("Rows"), _CSV: {"type": "string"}, _ARROW: _ANYTHING},
            headers=ORIGIN,
        ),
        _post(f"{_M}/invocations", "invocations", _MLFLOW, "Score", of("Predictions"), **_INVOCATION),
        _post(
            "/invocations",
            "only_invocations",
            _MLFLOW,
            "Score",
            of("Predictions"),
            description=_ONLY,
            **_INVOCATION,
        ),
        *(
            _get(
                f"{prefix}/{word}",
                f"{name}{word}",
                _MLFLOW,
                "Whether it can answer",
                {},
                # An empty line, which these protocols call JSON.
                answers={_JSON: _ANYTHING},
                description=description,
                errors=_ASKING,
            )
            for prefix, name, description in ((_M, "", ""), ("", "only_", _ONLY))
            for word in ("ping", "health")
        ),
        _get(f"{_M}/version", "version", _MLFLOW, "Tsavo's version", {}, answers={_PLAIN: _EMPTY}),
        _get("/version", "only_version", _MLFLOW, "Tsavo's version", {}, answers={_PLAIN: _EMPTY}),
        _post(
            "/v1/models/{endpoint}:predict",
            "predict",
            _V1,
            "Score",
            of("Predictions"),
            takes={_JSON: of("Prediction")},
            headers=ORIGIN,
        ),
        _post(
            "/v1/models/{endpoint}:explain",
            "explain",
            _V1,
            "Refused",
            _ANYTHING,
            answers={},
            parameters=(),
            errors=_POSTED,
        ),
        _get("/v1/models/{endpoint}", "model_ready", _V1, "Whether it can answer", of("EndpointReady")),
        _get(
            "/v1/models",
            "models",
            _V1,
            "Names of endpoints, in pages",
            of("EndpointNames"),
            parameters=(_query("limit", "Names on a page.", _up_to(10_000, 1)), _AFTER),
            errors=("422",),
        ),
        _get("/", "alive", _V1, "Whether the process is up", of("Alive")),
    )
)
"""Method and path of every road -> its operation."""
