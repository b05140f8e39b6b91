"""DuckDB's refusals in plain words: what is wrong, where in the query, and which name was perhaps meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, NamedTuple

from tsavo.lake.query_process import MOST_FRAME_BYTES
from tsavo.vocabulary import Invalid, TooLarge

__all__ = ["broken", "not_one_statement", "not_reading", "refused", "stopped", "too_slow"]

_KIND: Final = re.compile(r"^[A-Z][A-Za-z ]* Error: ")
_OUT_OF_MEMORY: Final = ("OutOfMemoryException", "MemoryError", "ArrowMemoryError")
# Where the kernel refuses memory, libraries on the way say so in words of their own.
_NO_MEMORY: Final = re.compile(
    r"Out of Memory Error|bad_alloc|^malloc of size \d+ failed|^realloc of size \d+ failed"
)
_POINTER: Final = re.compile(r"\n+LINE (\d+): (.*)\n( *)\^+ *$", re.DOTALL)
_NO_TABLE: Final = re.compile(r'^Table(?: Function)? with name "?(.+?)"? does not exist!', re.DOTALL)
_NO_COLUMN: Final = re.compile(
    r'^Referenced column "(.+?)" (?:was )?not found.*?(?:\nCandidate.*?: (.*))?$', re.DOTALL
)
_MEANT: Final = re.compile(r'\n+Did you mean "([^"]+)"\??')
_QUOTED: Final = re.compile(r'"([^"]+)"')
_BARE: Final = re.compile(r"[a-z_][a-z0-9_]*")
_VIEWS: Final = (
    "decisions, outcomes, monitors, an endpoint's own name in double quotes, or that name with _outcomes"
)


class _Place(NamedTuple):
    """A place in a query, counted from 1, and the line that it is in."""

    line: int
    column: int
    text: str


def refused(
    query: str,
    said: str,
    names: Iterable[str] = (),
    *,
    kind: str = "",
    memory_mib: int,
) -> Invalid | TooLarge:
    """The refusal for what DuckDB said.

    Parameters
    ----------
    names
        Every view that there could be.
    kind
        The name of DuckDB's exception.
    """
    if kind == "RowTooLarge":
        return _row_too_large(said)
    out_of_memory = kind in _OUT_OF_MEMORY or _NO_MEMORY.search(said) is not None
    said = _KIND.sub("", said.strip())
    place = _pointed_at(query, said)
    said = _POINTER.sub("", said)
    known = sorted(names)
    if out_of_memory:
        return _out_of_memory(query, memory_mib, place)
    if kind == "PermissionException":
        reason = "a query can reach nothing but the lake: no files, no addresses, no extensions"
        return _invalid(
            query, reason, place, "send the data to another tool, or register it as an endpoint's"
        )
    if (table := _NO_TABLE.match(said)) is not None:
        return _no_view(query, table[1], known, place)
    if (column := _NO_COLUMN.match(said)) is not None:
        near = _near(column[1], _QUOTED.findall(column[2] or ""))
        return _invalid(
            query,
            f"there is no column {column[1]!r} here",
            place or _first(query, column[1]),
            _did_you_mean(near) if near else "see the view's columns with DESCRIBE",
        )
    meant = _MEANT.search(said)
    said = _MEANT.sub("", said).split("\n\n")[0].replace("\n", "; ").strip().rstrip("!.")
    step = _did_you_mean([meant[1]]) if meant else _unquoted(query, known)
    return _invalid(query, said or "the query cannot be run", place, step)


def _out_of_memory(query: str, memory_mib: int, place: _Place | None = None) -> Invalid:
    reason = f"the query needs more memory than its {memory_mib:,} MiB"
    return _invalid(query, reason, place, "ask for fewer columns or groups")


def _row_too_large(found: str) -> TooLarge:
    return TooLarge(
        "a row of the answer is too large",
        field="query",
        found=found,
        expected=f"at most {MOST_FRAME_BYTES - (1 << 20) >> 20} MiB a row",
        next_step="ask for less of it, such as its length or its first characters",
    )


def broken(query: str, code: int | None, memory_mib: int) -> Invalid:
    """The refusal for a query whose process ended with `code` and without an answer.

    Memory that the kernel does not give is what ends one, wherever nobody looks whether there is any.
    """
    how = (
        "ended" if code is None else f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    )
    return Invalid(
        f"the query's process {how} before it had answered",
        field="query",
        found=query,
        expected=f"a query that needs at most {memory_mib:,} MiB, and nests a few hundred levels deep at most",
        next_step="ask for less, or in parts",
    )


def _no_view(query: str, name: str, known: list[str], place: _Place | None) -> Invalid:
    meant = _near(name.lower(), known)
    step = _did_you_mean([_as_written(one) for one in meant]) if meant else _unquoted(query, known)
    return _invalid(
        query,
        f"there is no view {name!r}: no endpoint of this name has made a decision",
        place or _first(query, name),
        step,
    )


def _near(name: str, known: list[str]) -> list[str]:
    return get_close_matches(name, known, n=3, cutoff=0.6)


def _did_you_mean(names: list[str]) -> str:
    return f"did you mean {' or '.join(names)}?"


def _as_written(name: str) -> str:
    return name if _BARE.fullmatch(name) else f'"{name}"'


def _unquoted(query: str, known: list[str]) -> str | None:
    """A view's name with a dash or a dot that stands in the query without quotes."""
    lowered = query.lower()
    for name in known:
        if not _BARE.fullmatch(name) and re.search(rf"(?<![\w\"'.-]){re.escape(name)}(?![\w\"'.-])", lowered):
            return f'write "{name}" in double quotes'
    return None


def _invalid(query: str, reason: str, place: _Place | None, next_step: str | None) -> Invalid:
    where = "" if place is None else f", at line {place.line}, column {place.column}"
    return Invalid(
        f"{reason}{where}",
        field="query",
        found=query.strip() if place is None else place.text.strip(),
        expected=f"a query over {_VIEWS}",
        next_step=next_step,
        details=None if place is None else {"line": place.line, "column": place.column},
    )


def _pointed_at(query: str, said: str) -> _Place | None:
    pointer = _POINTER.search(said)
    if pointer is None:
        return None
    number, shown, blanks = int(pointer[1]), pointer[2], len(pointer[3])
    lines = query.split("\n")
    if not 1 <= number <= len(lines):
        return None
    line = lines[number - 1]
    at = blanks - len(f"LINE {number}: ")
    # Of a long line DuckDB shows a piece, with dots where it was cut.
    cut = shown.startswith("...")
    piece = shown.removeprefix("...").removesuffix("...")
    start = max(0, line.find(piece))
    return _Place(number, max(1, start + at - (3 if cut else 0) + 1), line)


def _first(query: str, name: str) -> _Place | None:
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", query, re.IGNORECASE)
    if found is None:
        return None
    before = query[: found.start()]
    number = before.count("\n")
    return _Place(number + 1, found.start() - (before.rfind("\n") + 1) + 1, query.split("\n")[number])


def not_one_statement(count: int) -> Invalid:
    """The refusal for none, or several statements."""
    return Invalid(
        "not one statement",
        field="query",
        found=f"{count} statements",
        expected="exactly one SELECT",
        next_step="send them one by one",
    )


def not_reading(kind: str) -> Invalid:
    """The refusal for a statement that does something else than read."""
    return Invalid(
        "only queries that read are answered",
        field="query",
        found=kind,
        expected="a SELECT, FROM, WITH, VALUES, DESCRIBE, SUMMARIZE or EXPLAIN",
        next_step="write the answer to a file with 'tsavo sql --output', or read the lake's Delta tables yourself",
    )


def too_slow(query: str, seconds: float) -> Invalid:
    """The refusal for a query that was stopped because of its time."""
    return Invalid(
        "the query took too long and was stopped",
        field="query",
        found=query,
        expected=f"an answer within {seconds:g} s",
        next_step="narrow it, for example by time, or allow it more seconds",
    )


def stopped(query: str) -> Invalid:
    """The refusal for a query that nobody waits for any more."""
    return Invalid("the query was stopped", field="query", found=query, next_step="send it again")
