"""What an entry of the audit trail changed, field by field."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

__all__ = ["Change", "changes"]

# Every change changes these; the entry itself says when and who.
_BOOKKEEPING: Final = frozenset({"revision", "changed", "changed_by", "why"})
_MOST: Final = 12


class Change(NamedTuple):
    """One field before and after; ``None`` where there was or is nothing."""

    field: str
    before: str | None
    after: str | None


def changes(before: Any, after: Any) -> list[Change]:
    """The fields that differ, in order of their names; the first 12.

    >>> old = {"champion": {"model": "credit", "number": 1}, "plug": None, "revision": 3}
    >>> new = {"champion": {"model": "credit", "number": 2}, "plug": None, "revision": 4}
    >>> changes(old, new)
    [Change(field='champion', before='credit@1', after='credit@2')]
    """
    old, new = dict(_flat("", before)), dict(_flat("", after))
    found = [
        Change(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and name.rpartition(".")[2] not in _BOOKKEEPING
    ]
    return found[:_MOST]


def _flat(path: str, value: Any) -> list[tuple[str, str]]:
    if value is None:
        return []
    if isinstance(value, dict):
        if value.keys() == {"model", "number"}:
            return [(path, f"{value['model']}@{value['number']}")]
        return [
            pair for key, item in value.items() for pair in _flat(f"{path}.{key}" if path else str(key), item)
        ]
    if isinstance(value, list | tuple):
        return [pair for place, item in enumerate(value) for pair in _flat(f"{path}[{place}]", item)]
    return [(path or "value", str(value))]
