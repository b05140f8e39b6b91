"""Fallback chains: what may stand in one, and what becomes of it when the champion changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tsavo.registry import get_version
from tsavo.storage import Connection
from tsavo.vocabulary import (
    ConstantFallback,
    DType,
    Fallback,
    Invalid,
    Output,
    Route,
    Signature,
    VersionFallback,
    VersionRef,
    misfits,
)

__all__ = ["chain_after", "checked_chain", "constant_fallback"]

# More earlier versions than these add no safety: when two of them fail, something else is wrong.
_MOST_VERSIONS: Final = 2

_PYTHON_TYPES: Final[dict[DType, tuple[type, ...]]] = {
    "float64": (int, float),
    "float32": (int, float),
    "int64": (int,),
    "int32": (int,),
    "bool": (bool,),
    "string": (str,),
}


def chain_after(old: Route | None, champion: VersionRef) -> tuple[Fallback, ...]:
    """The chain after `champion` took over: the earlier champion goes to its head."""
    if old is None:
        return ()
    if old.champion == champion:
        return old.fallback
    versions = [VersionFallback(old.champion)]
    constants: list[Fallback] = []
    for step in old.fallback:
        if isinstance(step, ConstantFallback):
            constants.append(step)
        elif step.version not in (champion, old.champion):
            versions.append(step)
    return (*versions[:_MOST_VERSIONS], *constants)


def checked_chain(connection: Connection, champion: VersionRef, chain: Sequence[Fallback]) -> None:
    """Raise `Invalid` unless every step could stand in for `champion`."""
    signature = get_version(connection, champion).signature
    for step in chain:
        if isinstance(step, ConstantFallback):
            _check_constant(signature, step)
            continue
        if step.version == champion:
            raise Invalid(
                "a version cannot be its own fallback",
                field="fallback",
                found=str(champion),
                expected="another version, or a constant",
            )
        reasons = misfits(signature, get_version(connection, step.version).signature)
        if reasons:
            raise Invalid(
                f"this version cannot stand in for {champion}: {'; '.join(reasons[:5])}",
                field="fallback",
                found=str(step.version),
                expected="a version with the same inputs and outputs",
            )


def constant_fallback(signature: Signature, value: Any) -> ConstantFallback:
    """A constant answer from what a person wrote: all outputs by name, or the main one alone.

    For a classifier the main output is the label; its probabilities are then 1 for that class and 0 for the others.

    >>> from tsavo.vocabulary import Field
    >>> outputs = (Output("label", "int64"), Output("probabilities", "float32", 2))
    >>> constant_fallback(Signature((Field("x", "float64"),), outputs, "binary", (0, 1)), 0).outputs
    {'label': 0, 'probabilities': [1.0, 0.0]}
    """
    if isinstance(value, dict):
        constant = ConstantFallback(value)
    else:
        outputs: dict[str, Any] = {signature.outputs[0].name: value}
        for output in signature.outputs[1:]:
            if output.name == "probabilities" and signature.classes and value in signature.classes:
                outputs["probabilities"] = [float(known == value) for known in signature.classes]
        constant = ConstantFallback(outputs)
    _check_constant(signature, constant)
    return constant


def _check_constant(signature: Signature, constant: ConstantFallback) -> None:
    names = [output.name for output in signature.outputs]
    if sorted(constant.outputs) != sorted(names):
        raise Invalid(
            "a constant fallback must give every output",
            field="fallback",
            found=sorted(constant.outputs),
            expected=f"values for {names}",
            next_step='write it as JSON, such as \'{"label": 0, "probabilities": [0.8, 0.2]}\'',
        )
    for output in signature.outputs:
        _check_value(signature, output, constant.outputs[output.name])


def _check_value(signature: Signature, output: Output, value: Any) -> None:
    values = value if output.width is not None else [value]
    kinds = _PYTHON_TYPES[output.dtype]
    right = isinstance(values, list) and (output.width is None or len(values) == output.width)
    if not right or not all(
        isinstance(one, kinds) and (bool in kinds or not isinstance(one, bool)) for one in values
    ):
        shape = output.dtype if output.width is None else f"a list of {output.width} {output.dtype}"
        raise Invalid(
            "not a value of this output", field=f"fallback.{output.name}", found=value, expected=shape
        )
    if output.name == "label" and signature.classes is not None and value not in signature.classes:
        raise Invalid(
            "not a class of this model",
            field="fallback.label",
            found=value,
            expected=f"one of {list(signature.classes)}",
        )
