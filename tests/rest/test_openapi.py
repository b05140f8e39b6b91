from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from tests.rest.scoring_world import Scene, with_scene
from tsavo.rest.openapi import description
from tsavo.rest.problems import method_not_allowed, problem
from tsavo.vocabulary import TsavoError

DESCRIPTION = description("1.2.3")
OPERATIONS = {
    (method.upper(), path): operation
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
}


def template(pattern: str) -> str:
    """A road's path with its parts in braces, as a description has it."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"\(\?P<(\w+)>\[\^[^]]+\]\+\)", r"{\1}", pattern))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def found(reference: str) -> Any:
    node: Any = DESCRIPTION
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_every_road_is_described_and_nothing_else(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        roads = {(road.method, template(road.path.pattern)) for road in scene.gateway._roads}
        assert roads == set(OPERATIONS)

    with_scene(tmp_path, test)


def test_it_is_served_as_it_is_here(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        answer = await scene.get("/v2/openapi.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == msgspec.to_builtins(description(version("tsavo")))

    with_scene(tmp_path, test)


def test_what_is_referred_to_is_there_and_what_is_there_is_referred_to() -> None:
    referred = set(references(DESCRIPTION))
    assert all(found(reference) for reference in referred)
    kinds: dict[str, Any] = DESCRIPTION["components"]
    assert referred == {f"#/components/{kind}/{name}" for kind, names in kinds.items() for name in names}


def test_schemas_are_schemas() -> None:
    for name, schema in DESCRIPTION["components"]["schemas"].items():
        whole = schema | {"components": DESCRIPTION["components"]}
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema)
        jsonschema_rs.validator_for(whole)
        assert name[0].isupper()


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in DESCRIPTION["tags"]}
    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == tags


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_parts_of_a_path_are_its_parameters(method: str, path: str) -> None:
    given = [
        found(parameter["$ref"]) if "$ref" in parameter else parameter
        for parameter in OPERATIONS[method, path].get("parameters", [])
    ]
    assert {given["name"] for given in given if given["in"] == "path"} == set(re.findall(r"\{(\w+)\}", path))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_errors_are_problem_documents(method: str, path: str) -> None:
    for status, answer in OPERATIONS[method, path]["responses"].items():
        if int(status) >= 400 and path != "/v2/health/ready":
            problem = found(answer["$ref"])
            assert problem["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


@pytest.mark.parametrize(
    "error",
    [
        TsavoError("it failed"),
        TsavoError("no", field="f", found=1, expected="2", next_step="wait", retry_after=0.5, details=[1]),
    ],
)
def test_problems_are_as_described(error: TsavoError) -> None:
    validator = jsonschema_rs.validator_for(
        {"$ref": "#/components/schemas/Problem", "components": DESCRIPTION["components"]}
    )
    for reply in (problem(error), method_not_allowed(["POST"])):
        validator.validate(msgspec.json.decode(reply.body))
