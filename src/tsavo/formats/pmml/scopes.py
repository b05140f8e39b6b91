"""The fields that an expression, predicate or model can see, with what is derived from them."""

from __future__ import annotations

from tsavo.formats.pmml.calculations import Calculation, Value
from tsavo.formats.pmml.elements import Element, NotPMML, as_number

__all__ = ["Scope", "typed"]

_TRUE = {"true": True, "1": True, "false": False, "0": False}
_NUMBERS = frozenset({"integer", "float", "double"})


def typed(text: str, data_type: str) -> float | str:
    """A value that is written in the file, as the columns hold it; booleans are one and zero."""
    if data_type == "boolean":
        if text.strip().lower() not in _TRUE:
            raise NotPMML(f"{text[:60]!r} is neither true nor false")
        return float(_TRUE[text.strip().lower()])
    return as_number(text, "a value") if data_type in _NUMBERS else text


class Scope:
    """Fields by name; what is derived is computed when it is first asked for.

    Parameters
    ----------
    fields
        Name -> (column, ``dataType``).
    """

    def __init__(self, calculation: Calculation, fields: dict[str, tuple[Value, str]]) -> None:
        self.calculation = calculation
        self.fields = dict(fields)
        self.derived: dict[str, Element] = {}
        self._asked: set[str] = set()

    def inside(self) -> Scope:
        """A scope of its own with the same fields."""
        made = Scope(self.calculation, self.fields)
        made.derived = dict(self.derived)
        return made

    def define(self, holder: Element | None) -> None:
        """Take in the derived fields of a TransformationDictionary or LocalTransformations."""
        for child in holder.known() if holder is not None else ():
            if child.name != "DerivedField":
                raise NotPMML(f"the element {child.name} in {holder.name if holder else ''} is not read here")
            self.fields.pop(child.need("name"), None)
            self.derived[child.need("name")] = child

    def value(self, name: str) -> tuple[Value, str]:
        """A field's column and its ``dataType``."""
        from tsavo.formats.pmml.expressions import derived_field

        if name in self.fields:
            return self.fields[name]
        if name not in self.derived:
            raise NotPMML(f"the field {name[:80]!r} is not defined")
        if name in self._asked:
            raise NotPMML(f"the field {name[:80]!r} is derived from itself")
        self._asked.add(name)
        self.fields[name] = derived_field(self, self.derived[name])
        return self.fields[name]
