"""Keeps strangers' web pages away from a console that trusts whoever reaches it on loopback.

A page from elsewhere can make a person's browser send requests to this address. Two checks refuse them: the Host
must be ours (a name that was rebound to 127.0.0.1 is not), and a request that changes something must not come from
another origin. Command-line clients send no Origin.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from litestar.datastructures import Headers
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from tsavo.console.problems import problem_bytes
from tsavo.vocabulary import Forbidden

__all__ = ["guard_browser"]

_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # "no-referrer" would make browsers send our own forms with the Origin "null".
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def guard_browser(app: ASGIApp) -> ASGIApp:
    """ASGI middleware: refuses foreign requests, and puts the security headers on every answer."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method")
        if not isinstance(method, str):
            # Not HTTP: there is nothing of the kind here, and the framework says so.
            await app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        refusal = _refusal(method, Headers.from_scope(scope))
        if refusal is None:
            await app(scope, receive, send_guarded)
            return
        status, body = problem_bytes(refusal)
        headers: Any = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send_guarded({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return guarded


def _refusal(method: str, headers: Headers) -> Forbidden | None:
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name.lower() not in _NAMES:
        return Forbidden(
            "this name is not the console's",
            field="Host",
            found=host,
            expected="127.0.0.1, localhost or [::1]",
            next_step="open it under the address that 'tsavo up' printed",
        )
    if method in _READS:
        return None
    origin = headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    if foreign or headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return Forbidden(
            "a page of another site may not change anything here",
            field="Origin",
            found=origin,
            expected="the console's own pages, or a client that is no browser",
        )
    return None
