from __future__ import annotations

import pytest
from grpc import StatusCode  # type: ignore[import-untyped]

from tsavo.grpc.statuses import code_of, details_of, trailers_of
from tsavo.vocabulary import (
    Conflict,
    Damaged,
    Disagreement,
    Forbidden,
    Invalid,
    NotFound,
    Overloaded,
    Refused,
    TooLarge,
    TsavoError,
    Unavailable,
    Unreadable,
    Untrusted,
)

CODES = {
    Unreadable: "INVALID_ARGUMENT",
    Invalid: "INVALID_ARGUMENT",
    TooLarge: "INVALID_ARGUMENT",
    NotFound: "NOT_FOUND",
    Conflict: "FAILED_PRECONDITION",
    Refused: "FAILED_PRECONDITION",
    Untrusted: "FAILED_PRECONDITION",
    Disagreement: "FAILED_PRECONDITION",
    Forbidden: "PERMISSION_DENIED",
    Overloaded: "RESOURCE_EXHAUSTED",
    Unavailable: "UNAVAILABLE",
    Damaged: "INTERNAL",
    TsavoError: "INTERNAL",
}


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
def test_each_error_has_its_code(kind: type[TsavoError]) -> None:
    assert code_of(kind("no")) is StatusCode[CODES[kind]]


def test_no_error_was_forgotten() -> None:
    def below(kind: type[TsavoError]) -> set[type[TsavoError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    vocabulary = {kind for kind in below(TsavoError) if kind.__module__.startswith("tsavo.vocabulary")}
    assert vocabulary - CODES.keys() == {kind for kind in vocabulary if kind.__name__ == "BadInput"}


def test_the_reason_is_one_line_with_field_and_next_step() -> None:
    error = Invalid("two\nlines", field="inputs.x[3]", found="a", expected="a number", next_step="mend it")
    assert details_of(error) == (
        "two lines (field: inputs.x[3]; found: 'a'; expected: a number). Next: mend it"
    )


@pytest.mark.parametrize("sign", ["x", "ß", "☃", "\N{BUG}"])
def test_a_long_reason_fits_into_the_trailers(sign: str) -> None:
    details = details_of(Invalid(sign * 5000))
    assert len(details.encode()) <= 2000
    assert details.endswith("…")
    assert set(details[:-1]) == {sign}


def test_when_to_come_back_is_told_to_people_and_to_clients() -> None:
    error = Overloaded("too much", retry_after=0.1)
    assert details_of(error).endswith("Try again after 0.1 s")
    assert trailers_of(error) == (("grpc-retry-pushback-ms", "100"),)
    assert trailers_of(Unavailable("plug")) == ()
