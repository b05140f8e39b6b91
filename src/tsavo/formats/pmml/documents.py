"""A whole PMML file: which columns it takes, and what its model says of them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tsavo.formats.pmml.calculations import Calculation, Value
from tsavo.formats.pmml.elements import Element, NotPMML, read_elements
from tsavo.formats.pmml.mining import TARGETS
from tsavo.formats.pmml.models import MODELS, evaluate
from tsavo.formats.pmml.results import Result
from tsavo.formats.pmml.scopes import Scope, typed

__all__ = ["DataField", "Document", "read_document"]

_TYPES: Final = frozenset({"string", "integer", "float", "double", "boolean"})
_BESIDE: Final = frozenset(
    {"Header", "MiningBuildTask", "DataDictionary", "TransformationDictionary", "Extension"}
)
_VERSIONS: Final = ("4.0", "4.1", "4.2", "4.3", "4.4")


class DataField(msgspec.Struct, frozen=True):
    """A column that the file declares.

    Attributes
    ----------
    values
        The valid values of a categorical column; empty when none are named.
    invalid
        What to do with others: ``returnInvalid``, ``asIs``, ``asMissing``.
    """

    name: str
    data_type: str
    values: tuple[str, ...] = ()
    invalid: str = "returnInvalid"


class Document(msgspec.Struct, frozen=True):
    """A file that was understood.

    Attributes
    ----------
    inputs
        The columns in the order of the DataDictionary.
    target
        The column that it predicts, when it is declared.
    classifies
        Whether it gives classes.
    """

    model: Element
    inputs: tuple[DataField, ...]
    target: DataField | None
    classifies: bool
    transformations: Element | None

    def evaluate(self, calculation: Calculation, columns: dict[str, Value]) -> Result:
        """The model's answer over `columns`, which are by name."""
        given = {}
        for field in self.inputs:
            value = columns[field.name]
            if field.data_type == "float":
                value = calculation.step("Float32", value)
            given[field.name] = (value, field.data_type)
        scope = Scope(calculation, given)
        scope.define(self.transformations)
        return evaluate(scope, self.model)

    def label(self, name: str) -> Any:
        """A class as its type wants it."""
        if self.target is None or self.target.data_type == "string":
            return name
        value = typed(name, self.target.data_type)
        if self.target.data_type == "boolean":
            return bool(value)
        return int(value) if self.target.data_type == "integer" else value


def read_document(content: bytes) -> Document:
    """Understand a file.

    Raises
    ------
    NotPMML
        When it is damaged, or holds what is not read here.
    """
    root = read_elements(content)
    version = root.get("version")
    if root.name != "PMML" or not version.startswith(_VERSIONS):
        raise NotPMML(f"a document {root.name!r} of version {version[:20]!r}, not PMML 4.0 to 4.4")
    models = [child for child in root.children if child.name not in _BESIDE]
    if len(models) != 1 or models[0].name not in MODELS:
        names = ", ".join(model.name for model in models) or "none"
        raise NotPMML(f"one model of {', '.join(MODELS)} is read, and there is: {names[:200]}")
    dictionary, schema = root.first("DataDictionary"), models[0].first("MiningSchema")
    if dictionary is None or schema is None:
        raise NotPMML("a file without a DataDictionary, or a model without a MiningSchema")
    transformations = root.first("TransformationDictionary")
    used = {field.need("name"): field for field in schema.all("MiningField")}
    fields, targets = [], []
    for field in dictionary.all("DataField"):
        name = field.need("name")
        if name not in used:
            continue
        usage = used[name].get("usageType", "active")
        if usage in TARGETS:
            targets.append(_declared(field, used[name]))
        elif usage == "active":
            fields.append(_declared(field, used[name]))
    classifies = models[0].need("functionName") == "classification"
    if models[0].get("functionName") not in {"classification", "regression"}:
        raise NotPMML(f"the function '{models[0].get('functionName')[:40]}' is not read here")
    return Document(models[0], tuple(fields), targets[0] if targets else None, classifies, transformations)


def _declared(field: Element, used: Element) -> DataField:
    name, data_type = field.need("name"), field.need("dataType")
    if data_type not in _TYPES:
        raise NotPMML(f"the field {name[:80]!r} of the type '{data_type[:40]}', which is not read here")
    if any(value.get("property", "valid") == "missing" for value in field.all("Value")):
        raise NotPMML(
            f"the field {name[:80]!r} has values that stand for missing ones, which is not read here"
        )
    valid = (value.need("value") for value in field.all("Value") if value.get("property", "valid") == "valid")
    return DataField(name, data_type, tuple(valid), used.get("invalidValueTreatment", "returnInvalid"))
