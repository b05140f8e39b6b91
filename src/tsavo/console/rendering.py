"""Templates, and how figures and times are written in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import jinja2
import msgspec

from tsavo.console.drawings import against_zero, evidence_share, on_scale
from tsavo.vocabulary import Condition, Finding, RulesFallback, span_words

__all__ = ["environment"]

_MOST_RULES_SAID: Final = 10
_FOLDER: Final = Path(__file__).parent / "templates"
_SUPERSCRIPTS: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def environment() -> jinja2.Environment:
    """The templates: everything is escaped, and a name that is not given is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": count,
        "figure": figure,
        "brief": lambda value: "–" if value is None else f"{value:.2g}",
        "moment": moment,
        "ago": ago,
        "evidence": evidence,
        "latency": latency,
        "span": lambda seconds: "–" if seconds is None else span_words(seconds),
        "words": words,
        "size": size,
        "rule_words": rule_words,
        "right_or_wrong": right_or_wrong,
        "evidence_share": lambda finding: evidence_share(most_evidence(finding), finding.threshold),
        "most_evidence": most_evidence,
        "by_evidence": lambda findings: sorted(findings, key=lambda one: -(most_evidence(one) or 0.0)),
        "on_scale": on_scale,
        "against_zero": against_zero,
        "segment": lambda text: quote(str(text), safe=""),
        "query": lambda values: urlencode(
            {key: value for key, value in values.items() if value not in (None, "")}
        ),
        "tojson_safe": lambda value: (
            msgspec.json.encode(value, enc_hook=str).decode().replace("<", "\\u003c")
        ),
    }
    return made


def count(value: int | None) -> str:
    """A count with separators.

    >>> count(1234567)
    '1,234,567'
    """
    return "–" if value is None else f"{value:,}"


def figure(value: Any) -> str:
    """A figure with as many digits as a person reads.

    >>> figure(0.123456), figure(None), figure(3), figure("a")
    ('0.1235', '–', '3', 'a')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) > 9999 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(figure(item) for item in value)
    return str(value)


def rule_words(table: RulesFallback) -> str:
    """A rule table as a person would say it.

    >>> from tsavo.vocabulary import Condition, Rule
    >>> young = Rule((Condition("age", at_least=18, below=25), Condition("city", one_of=("voi",))), {"value": 1})
    >>> rule_words(RulesFallback((young,), {"value": 0}))
    'where age is at least 18, below 25 and city is voi: value 1; else: value 0'
    """

    def outputs(values: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {figure(value)}" for name, value in values.items())

    rules = [
        f"where {' and '.join(_condition_words(one) for one in rule.when)}: {outputs(rule.outputs)}"
        for rule in table.rules[:_MOST_RULES_SAID]
    ]
    more = len(table.rules) - len(rules)
    return "; ".join([*rules, *([f"{more:,} more"] if more else []), f"else: {outputs(table.otherwise)}"])


def _condition_words(condition: Condition) -> str:
    said = []
    if condition.at_least is not None:
        said.append(f"at least {figure(condition.at_least)}")
    if condition.below is not None:
        said.append(f"below {figure(condition.below)}")
    if condition.one_of is not None:
        said.append(" or ".join(map(figure, condition.one_of[:_MOST_RULES_SAID])))
    if condition.missing is not None:
        said.append("missing" if condition.missing else "there")
    return f"{condition.column} is {', '.join(said)}"


def moment(value: datetime | None) -> str:
    """A time in UTC, to the second.

    >>> moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02 03:04:05'
    """
    return "–" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago(value: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit that fits.

    >>> ago(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 2, 30, tzinfo=UTC))
    '2 h ago'
    """
    if value is None:
        return "never"
    seconds = max(0, int((now - value).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def evidence(value: float | None) -> str:
    """An e-value: small ones as a figure, large ones as a power of ten.

    >>> evidence(0.5), evidence(250.0), evidence(3e40), evidence(math.inf)
    ('0.5', '250', '10⁴⁰', '∞')
    """
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞"
    if value < 1e4:
        return figure(float(f"{value:.3g}"))
    return "10" + str(math.floor(math.log10(value))).translate(_SUPERSCRIPTS)


def most_evidence(finding: Finding) -> float | None:
    """The most that a finding's evidence has ever been: an alarm latches there."""
    highest = finding.figures.get("max_evidence")
    return float(highest) if isinstance(highest, int | float) else finding.evidence


def words(name: str) -> str:
    """A metric's name as people write it.

    >>> words("error_rate")
    'Error rate'
    """
    return name.replace("_", " ").capitalize()


def size(value: int) -> str:
    """Bytes in the unit that fits.

    >>> size(800), size(32_067), size(5 * 1024**2)
    ('800 bytes', '31.3 KiB', '5 MiB')
    """
    if value < 1024:
        return f"{value} bytes"
    kib = value / 1024
    return f"{kib:.3g} KiB" if kib < 1000 else f"{kib / 1024:.3g} MiB"


def right_or_wrong(prediction: Mapping[str, Any], outcome: Any) -> str:
    """Whether a label is what really happened; empty where there is no label or no outcome.

    >>> right_or_wrong({"label": 1}, 1), right_or_wrong({"label": "b"}, "a"), right_or_wrong({"value": 1.0}, 1.1)
    ('right', 'wrong', '')
    """
    if "label" not in prediction or outcome is None:
        return ""
    return "right" if prediction["label"] == outcome else "wrong"


def latency(microseconds: float | None) -> str:
    """A latency in the unit that fits.

    >>> latency(85), latency(12_345), latency(None)
    ('85 µs', '12.3 ms', '–')
    """
    if microseconds is None:
        return "–"
    return f"{microseconds:.0f} µs" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"
