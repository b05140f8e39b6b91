"""How features and outputs become columns, and stay columns when versions disagree about their types.

A Delta column has one type for ever, versions of a model come and go. Four *kinds* hold every value without loss:
``long``, ``double``, ``boolean``, ``string`` (``double[]`` and so on for wide outputs): 32-bit numbers are widened.
When a version gives a known name another kind, its values go to a sibling column, ``age::double`` beside ``age``;
so do those of a name that differs from a known one only by upper and lower case, which SQL cannot tell apart
(``Age::long``). Nothing is cast on its way in. Readers put siblings together again as one logical column: ``double``
for a mix of ``long`` and ``double``, text for any other mix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Final, NamedTuple

import pyarrow as pa

from tsavo.vocabulary import DType

__all__ = [
    "ARROW_TYPES",
    "KINDS",
    "Logical",
    "kind_of",
    "logical_columns",
    "logical_name",
    "quoted",
    "storage_name",
]

KINDS: Final[dict[DType, str]] = {
    "float64": "double",
    "float32": "double",
    "int64": "long",
    "int32": "long",
    "bool": "boolean",
    "string": "string",
}
_SCALARS: Final[dict[str, pa.DataType]] = {
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
}
ARROW_TYPES: Final[dict[str, pa.DataType]] = {
    **_SCALARS,
    **{f"{kind}[]": pa.list_(arrow) for kind, arrow in _SCALARS.items()},
}
_SQL_TYPES: Final[dict[str, str]] = {
    "long": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "string": "VARCHAR",
}


class Logical(NamedTuple):
    """One column as readers see it: its name, its SQL type, and the stored columns that it is put together from."""

    name: str
    sql_type: str
    stored: tuple[str, ...]

    def expression(self, struct: str, present: Iterable[str]) -> str:
        """SQL for this column over a relation whose column `struct` has the fields `present`."""
        here = set(present)
        parts = [
            f"CAST({quoted(struct)}.{quoted(name)} AS {self.sql_type})"
            for name in self.stored
            if name in here
        ]
        if not parts:
            return f"CAST(NULL AS {self.sql_type})"
        return parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"


def quoted(name: str) -> str:
    """`name` as an SQL identifier.

    >>> quoted('petal "length" (cm)')
    '"petal ""length"" (cm)"'
    """
    return '"' + name.replace('"', '""') + '"'


def kind_of(arrow: pa.DataType) -> str:
    """The kind of a stored column.

    >>> kind_of(pa.list_(pa.float64()))
    'double[]'
    """
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return kind_of(arrow.value_type) + "[]"
    if pa.types.is_boolean(arrow):
        return "boolean"
    if pa.types.is_integer(arrow):
        return "long"
    if pa.types.is_floating(arrow):
        return "double"
    return "string"


def storage_name(known: Mapping[str, str], name: str, kind: str) -> str:
    """Where values of `kind` called `name` go in a struct that has the columns `known` (stored name -> kind).

    >>> storage_name({"age": "long"}, "age", "long"), storage_name({"age": "long"}, "age", "double")
    ('age', 'age::double')
    >>> storage_name({"age": "long"}, "Age", "long")
    'Age::long'
    """
    lowered = {stored.lower() for stored in known}
    for stored in _places(name, kind):
        if known.get(stored) == kind or stored.lower() not in lowered:
            return stored
    raise AssertionError  # pragma: no cover -- `_places` does not end


def _places(name: str, kind: str) -> Iterator[str]:
    # A name that ends like a sibling always gets a suffix of its own, so that one suffix can be taken off again.
    if not _ends_like_sibling(name):
        yield name
    yield f"{name}::{kind}"
    for number in count(2):
        yield f"{name}::{kind}::{number}"


def _ends_like_sibling(name: str) -> bool:
    return logical_name(name) != name


def logical_name(stored: str) -> str:
    """The name under which values came that are stored as `stored`.

    >>> logical_name("age::double"), logical_name("AGE::long::2"), logical_name("a::b")
    ('age', 'AGE', 'a::b')
    """
    base, colons, marker = stored.rpartition("::")
    if colons and marker.isdigit():
        # Names that differ by case alone, of the same kind, are numbered.
        base, colons, marker = base.rpartition("::")
    return base if colons and marker in ARROW_TYPES else stored


def logical_columns(structs: Sequence[pa.DataType]) -> list[Logical]:
    """The columns that readers see over stored structs, in the order in which they were first stored."""
    kinds: dict[str, dict[str, None]] = {}
    stored: dict[str, dict[str, None]] = {}
    for struct in structs:
        for field in struct:
            name = logical_name(field.name)
            kinds.setdefault(name, {})[kind_of(field.type)] = None
            stored.setdefault(name, {})[field.name] = None
    return [Logical(name, _common_type(set(kinds[name])), tuple(stored[name])) for name in kinds]


def _common_type(kinds: set[str]) -> str:
    if len(kinds) == 1:
        kind = next(iter(kinds))
        return _SQL_TYPES[kind.removesuffix("[]")] + ("[]" if kind.endswith("[]") else "")
    if kinds == {"long", "double"}:
        return "DOUBLE"
    if kinds == {"long[]", "double[]"}:
        return "DOUBLE[]"
    return "VARCHAR"
