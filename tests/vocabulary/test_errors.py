from __future__ import annotations

import json
import re

import pytest

from tsavo.vocabulary import Invalid, Overloaded, TsavoError, errors


def all_errors() -> list[type[TsavoError]]:
    found: list[type[TsavoError]] = [TsavoError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ == errors.__name__]


def test_the_tree_is_drawn_as_it_is() -> None:
    """The drawing at the head of the module names every error, each under its parent."""
    assert errors.__doc__ is not None
    drawn: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"^([ │├└─]+)([A-Z]\w+)  ", line)
        if match:
            indent = len(match[1])
            above = [(depth, name) for depth, name in above if depth < indent]
            drawn[match[2]] = above[-1][1] if above else None
            above.append((indent, match[2]))
    real: dict[str, str | None] = {
        kind.__name__: None if kind is TsavoError else kind.__mro__[1].__name__ for kind in all_errors()
    }
    assert drawn == real
    assert sorted(errors.__all__) == sorted(real)


def test_every_kind_has_a_word_of_its_own() -> None:
    words = [kind.kind for kind in all_errors()]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("kind", all_errors())
def test_its_parts_can_be_sent_as_json(kind: type[TsavoError]) -> None:
    error = kind(
        "it failed",
        field="age",
        found=object(),
        expected="a number",
        next_step="send one",
        retry_after=1.5,
        details=["a"],
    )
    parts = json.loads(json.dumps(error.as_dict()))
    assert set(parts) == {
        "kind", "detail", "reason", "field", "expected", "next_step", "retry_after", "details", "found",
    }  # fmt: skip
    assert kind("it failed").as_dict() == {"kind": kind.kind, "detail": "it failed", "reason": "it failed"}


def test_what_was_found_is_shown_even_when_it_is_falsy() -> None:
    values: list[object] = [0, "", False, []]
    for value in values:
        assert f"found: {value!r}" in str(Invalid("wrong", found=value))


def test_a_long_value_is_cut() -> None:
    assert len(str(Overloaded("too much", found="x" * 100_000))) < 300
