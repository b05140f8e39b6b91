"""Spans of time as people say them."""

from __future__ import annotations

__all__ = ["span_words"]


def span_words(seconds: float) -> str:
    """A span of time in the unit that a person would use.

    >>> span_words(0.25), span_words(90), span_words(7200), span_words(5 * 86_400)
    ('0.2 s', '90 s', '2 h', '5 days')
    """
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
