"""Fallback chains: what may stand in one, and what becomes of it when the champion changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tsavo.actions.rules import can_be, check_conditions, read_rules
from tsavo.registry import get_version
from tsavo.storage import Connection
from tsavo.vocabulary import (
    ConstantFallback,
    Fallback,
    Invalid,
    Output,
    Route,
    RulesFallback,
    Signature,
    VersionFallback,
    VersionRef,
    misfits,
)

__all__ = ["chain_after", "checked_chain", "constant_fallback", "rules_fallback"]

# More earlier versions than these add no safety: when two of them fail, something else is wrong.
_MOST_VERSIONS: Final = 2


def chain_after(old: Route | None, champion: VersionRef) -> tuple[Fallback, ...]:
    """The chain after `champion` took over: the earlier champion goes to its head."""
    if old is None:
        return ()
    if old.champion == champion:
        return old.fallback
    versions = [VersionFallback(old.champion)]
    others: list[Fallback] = []
    for step in old.fallback:
        if not isinstance(step, VersionFallback):
            others.append(step)
        elif step.version not in (champion, old.champion):
            versions.append(step)
    return (*versions[:_MOST_VERSIONS], *others)


def checked_chain(connection: Connection, champion: VersionRef, chain: Sequence[Fallback]) -> None:
    """Raise `Invalid` unless every step could stand in for `champion`."""
    signature = get_version(connection, champion).signature
    for step in chain:
        if isinstance(step, ConstantFallback):
            _check_outputs(signature, step.outputs)
            continue
        if isinstance(step, RulesFallback):
            _check_rules(signature, step)
            continue
        if step.version == champion:
            raise Invalid(
                "a version cannot be its own fallback",
                field="fallback",
                found=str(champion),
                expected="another version, a constant, or a rule table",
            )
        reasons = misfits(signature, get_version(connection, step.version).signature)
        if reasons:
            raise Invalid(
                f"this version cannot stand in for {champion}: {'; '.join(reasons[:5])}",
                field="fallback",
                found=str(step.version),
                expected="a version with the same inputs and outputs",
                next_step=f"deploy {champion} with a chain of its own: --fallback MODEL@N or --constant JSON",
            )


def constant_fallback(signature: Signature, value: Any) -> ConstantFallback:
    """A constant answer from what a person wrote: all outputs by name, or the main one alone.

    For a classifier the main output is the label; its probabilities are then 1 for that class and 0 for the others.

    >>> from tsavo.vocabulary import Field
    >>> outputs = (Output("label", "int64"), Output("probabilities", "float32", 2))
    >>> constant_fallback(Signature((Field("x", "float64"),), outputs, "binary", (0, 1)), 0).outputs
    {'label': 0, 'probabilities': [1.0, 0.0]}
    """
    return ConstantFallback(_outputs_of(signature, value, "fallback"))


def rules_fallback(signature: Signature, rules: Any, otherwise: Any) -> RulesFallback:
    """A rule table from what a person wrote: see `actions.rules.read_rules`.

    Wherever an answer stands, all outputs by name or the main one alone, as for `constant_fallback`.

    >>> from tsavo.vocabulary import Field
    >>> signature = Signature((Field("age", "float64"),), (Output("value", "float64"),), "regression")
    >>> rules = [{"when": {"column": "age", "below": 18}, "outputs": 0}]
    >>> table = rules_fallback(signature, rules, 100)
    >>> table.rules[0].outputs, table.otherwise
    ({'value': 0}, {'value': 100})
    """
    table = read_rules(rules, otherwise, lambda value, field: _outputs_of(signature, value, field))
    _check_rules(signature, table)
    return table


def _outputs_of(signature: Signature, value: Any, field: str) -> dict[str, Any]:
    if isinstance(value, dict):
        outputs = value
    else:
        _check_value(signature, signature.outputs[0], value, field)
        outputs = {signature.outputs[0].name: value}
        for output in signature.outputs[1:]:
            if output.name == "probabilities" and signature.classes and value in signature.classes:
                outputs["probabilities"] = [float(known == value) for known in signature.classes]
    _check_outputs(signature, outputs, field)
    return outputs


def _check_rules(signature: Signature, table: RulesFallback) -> None:
    check_conditions(signature, table)
    for at, rule in enumerate(table.rules):
        _check_outputs(signature, rule.outputs, f"fallback.rules[{at}].outputs")
    _check_outputs(signature, table.otherwise, "fallback.otherwise")


def _check_outputs(signature: Signature, outputs: dict[str, Any], field: str = "fallback") -> None:
    names = [output.name for output in signature.outputs]
    if sorted(outputs) != sorted(names):
        raise Invalid(
            "an answer without the model must give every output",
            field=field,
            found=sorted(outputs),
            expected=f"values for {names}",
            next_step='write it as JSON, such as \'{"label": 0, "probabilities": [0.8, 0.2]}\'',
        )
    for output in signature.outputs:
        _check_value(signature, output, outputs[output.name], field)


def _check_value(signature: Signature, output: Output, value: Any, field: str) -> None:
    values = value if output.width is not None else [value]
    right = isinstance(values, list) and (output.width is None or len(values) == output.width)
    if not right or not all(can_be(output.dtype, one) for one in values):
        shape = output.dtype if output.width is None else f"a list of {output.width} {output.dtype}"
        raise Invalid(
            "not a value of this output", field=f"{field}.{output.name}", found=value, expected=shape
        )
    if output.name == "label" and signature.classes is not None and value not in signature.classes:
        raise Invalid(
            "not a class of this model",
            field=f"{field}.label",
            found=value,
            expected=f"one of {list(signature.classes)}",
        )
