"""Keeps strangers' web pages away from a console that trusts whoever reaches it on loopback.

A page from elsewhere can make a person's browser send requests to this address. Three checks refuse them: the Host
must be ours, name and port (a name that was rebound to 127.0.0.1 is not); a request that changes something must not
come from another origin; and another site may link to a page here, but not load anything from here into its own
(https://web.dev/articles/fetch-metadata). Command-line clients send neither Origin nor Sec-Fetch headers.
"""

from __future__ import annotations

from typing import Any, Final

from litestar.datastructures import Headers
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from tsavo.console.problems import problem_bytes
from tsavo.vocabulary import Forbidden

__all__ = ["guard_browser"]

_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
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

        refusal = _refusal(method, Headers.from_scope(scope), _port(scope))
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


def _port(scope: Scope) -> int | None:
    """The port that the request came to."""
    server = scope.get("server")
    return server[1] if server else None


def _refusal(method: str, headers: Headers, port: int | None) -> Forbidden | None:
    host = headers.get("host", "").lower()
    if not _is_ours(host, port):
        return Forbidden(
            "this address is not the console's",
            field="Host",
            found=host,
            expected=f"127.0.0.1, localhost or [::1], and port {port}",
            next_step="open it under the address that 'tsavo up' printed; forward it to the same port elsewhere",
        )
    foreign = headers.get("sec-fetch-site", "none") not in _OWN_SITES
    if method in _READS:
        if foreign and headers.get("sec-fetch-mode") != "navigate":
            return Forbidden(
                "a page of another site may link here, but load nothing",
                field="Sec-Fetch-Site",
                found=headers.get("sec-fetch-site"),
                expected="the console's own pages, or a client that is no browser",
            )
        return None
    origin = headers.get("origin")
    if foreign or (origin is not None and origin.lower() != f"http://{host}"):
        return Forbidden(
            "a page of another site may not change anything here",
            field="Origin",
            found=origin,
            expected="the console's own pages, or a client that is no browser",
        )
    return None


def _is_ours(host: str, port: int | None) -> bool:
    """Whether a Host header names loopback and, where the server knows its port, that port.

    >>> _is_ours("localhost:8090", 8090), _is_ours("[::1]:8090", 8090)
    (True, True)
    >>> _is_ours("localhost:8080", 8090), _is_ours("evil.example:8090", 8090), _is_ours("127.0.0.1", 8090)
    (False, False, False)
    """
    name, colon, given = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, given = host, "80"
    return name in _NAMES and (port is None or given == str(port))
