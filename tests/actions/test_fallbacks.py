from __future__ import annotations

from typing import Any

import pytest

from tests.examples import CLASSIFIER, REGRESSOR, example_route
from tsavo.actions import constant_fallback
from tsavo.actions.fallbacks import chain_after
from tsavo.vocabulary import ConstantFallback, Field, Invalid, Output, Signature, VersionFallback, VersionRef


@pytest.mark.parametrize(
    ("signature", "given", "outputs"),
    [
        (CLASSIFIER, 1, {"label": 1, "probabilities": [0.0, 1.0]}),
        (CLASSIFIER, {"label": 1, "probabilities": [0.3, 0.7]}, {"label": 1, "probabilities": [0.3, 0.7]}),
        (REGRESSOR, 3, {"value": 3}),
        (REGRESSOR, 2.5, {"value": 2.5}),
        (REGRESSOR, {"value": -1.0}, {"value": -1.0}),
    ],
)
def test_what_a_person_writes_becomes_every_output(
    signature: Signature, given: Any, outputs: dict[str, Any]
) -> None:
    assert constant_fallback(signature, given) == ConstantFallback(outputs)


@pytest.mark.parametrize(
    ("signature", "given"),
    [
        (CLASSIFIER, 2),
        (CLASSIFIER, "yes"),
        (CLASSIFIER, True),
        (CLASSIFIER, None),
        (CLASSIFIER, [0]),
        (CLASSIFIER, {"label": 1}),
        (CLASSIFIER, {"label": 1, "probabilities": [1.0]}),
        (CLASSIFIER, {"label": 1, "probabilities": 1.0}),
        (CLASSIFIER, {"label": 1, "probabilities": [0.0, 1.0], "extra": 1}),
        (REGRESSOR, "much"),
        (REGRESSOR, True),
        (REGRESSOR, [1.0]),
    ],
)
def test_what_is_not_an_answer_of_the_model_is_refused(signature: Signature, given: Any) -> None:
    with pytest.raises(Invalid) as caught:
        constant_fallback(signature, given)
    assert str(caught.value.field).startswith("fallback")


def test_string_classes() -> None:
    outputs = (Output("label", "string"), Output("probabilities", "float32", 3))
    signature = Signature((Field("x", "float64"),), outputs, "multiclass", ("a", "b", "c"))
    assert constant_fallback(signature, "b").outputs == {"label": "b", "probabilities": [0.0, 1.0, 0.0]}
    with pytest.raises(Invalid, match="class"):
        constant_fallback(signature, {"label": "z", "probabilities": [0.0, 1.0, 0.0]})


def test_a_new_endpoint_has_no_chain() -> None:
    assert chain_after(None, VersionRef("credit", 1)) == ()


def test_no_version_stands_twice_in_a_chain() -> None:
    chain = tuple(VersionFallback(VersionRef("credit", number)) for number in (2, 3))
    route = example_route(number=1, fallback=chain)
    assert chain_after(route, VersionRef("credit", 2)) == (
        VersionFallback(VersionRef("credit", 1)),
        VersionFallback(VersionRef("credit", 3)),
    )
