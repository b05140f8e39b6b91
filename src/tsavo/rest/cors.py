"""Which web pages may use this door: none, unless the settings name their origins.

A browser sends a page's request wherever the page says, and only keeps the answer from it. Scoring is recorded, so the
requests of pages that may not use this door are refused, not only hidden. Callers that are no browsers send no
``Origin``.

Specification: WHATWG "Fetch", section "HTTP extensions / CORS protocol".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tsavo.rest.asgi import Scope
from tsavo.rest.exchange import Reply
from tsavo.vocabulary import Forbidden

__all__ = ["ANY", "ORIGIN", "Cors"]

ANY: Final = "*"
ORIGIN: Final = b"origin"
_METHODS: Final = b"GET, HEAD, POST"
_SECONDS: Final = b"600"
# What a page may read beside the few headers that it always may.
_EXPOSED: Final = ", ".join(
    (
        "content-encoding",
        "idempotency-replayed",
        "inference-header-content-length",
        "retry-after",
        "traceparent",
        "traceresponse",
        "tracestate",
        "x-tsavo-decision-id",
        "x-tsavo-flags",
        "x-tsavo-role",
        "x-tsavo-version",
    )
).encode()
_MOST_ASKED: Final = 2048
_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]*")


class Cors:
    """Answers what browsers ask before they let a page use this door, and tells them that it may.

    Parameters
    ----------
    origins
        Of pages that may, such as ``https://app.example.com``; ``*`` for all.
    """

    def __init__(self, origins: Sequence[str] = ()) -> None:
        self._all = ANY in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def allows(self, origin: bytes) -> bool:
        """Whether pages of this origin may use this door."""
        return self._all or origin in self._origins

    def preflight(self, scope: Scope, origin: bytes) -> Reply | None:
        """The reply to the question whether a page may send a request; ``None`` when this is no such question."""
        if scope["method"] != "OPTIONS":
            return None
        headers = dict(scope["headers"])
        if b"access-control-request-method" not in headers or not self.allows(origin):
            return None
        told = [(b"access-control-allow-methods", _METHODS), (b"access-control-max-age", _SECONDS)]
        asked = headers.get(b"access-control-request-headers", b"")
        # No header gives a page more than it has without it: there are no cookies, and no credentials but in headers.
        if asked and len(asked) <= _MOST_ASKED and _NAMES.fullmatch(asked):
            told.append((b"access-control-allow-headers", asked))
        return Reply(b"", content_type=b"text/plain", headers=tuple(told))

    def check(self, scope: Scope, origin: bytes) -> None:
        """Raise `Forbidden` for what a page must not send: anything but a look, from an origin that may not.

        A page that was itself loaded from this address may.
        """
        if scope["method"] in {"GET", "HEAD", "OPTIONS"} or self.allows(origin):
            return
        host = dict(scope["headers"]).get(b"host", b"")
        if host and origin.partition(b"://")[2] == host:
            return
        raise Forbidden(
            "pages of this origin may not use this gateway",
            field="Origin",
            found=origin[:200].decode("latin-1"),
            expected="an origin of the setting gateway.cors_origins, or none",
            next_step="add it to gateway.cors_origins in tsavo.toml and start again",
        )

    def headers(self, origin: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """What every reply to a page has, refusals too."""
        if self._all:
            return (
                (b"access-control-allow-origin", b"*"),
                (b"access-control-expose-headers", _EXPOSED),
            )
        # Caches must not give one origin's reply to another.
        vary = (b"vary", b"origin")
        if not self.allows(origin):
            return (vary,) if self._origins else ()
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
            vary,
        )
