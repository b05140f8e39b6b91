from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tsavo.console.guarding import guard_browser

OWN = "127.0.0.1:8090"
OTHERS = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "https://127.0.0.1:8090"},
    {"origin": "http://127.0.0.1:8080"},
    {"origin": "http://["},
    {"origin": f"http://{OWN}.evil.example"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": f"http://{OWN}", "sec-fetch-site": "cross-site"},
]


def ask(method: str = "GET", host: str | None = OWN, **headers: str) -> tuple[int, dict[bytes, bytes]]:
    """What a server on port 8090 answers; the application behind the guard says 200."""
    said: list[Any] = []

    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-inside", b"1")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    given = {**({} if host is None else {"host": host}), **headers}
    scope: Any = {
        "type": "http",
        "method": method,
        "server": ("127.0.0.1", 8090),
        "headers": [(key.replace("_", "-").encode(), value.encode()) for key, value in given.items()],
    }
    asyncio.run(guard_browser(answer)(scope, receive, send))  # type: ignore[arg-type]
    return said[0]["status"], dict(said[0]["headers"])


@pytest.mark.parametrize("host", [OWN, "localhost:8090", "[::1]:8090", "LOCALHOST:8090"])
def test_the_consoles_own_addresses_are_let_in(host: str) -> None:
    assert ask(host=host)[0] == 200
    assert ask("POST", host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:8090",
        "127.0.0.1.evil.example:8090",
        "127.0.0.1:8080",
        "127.0.0.1",
        "localhost",
        "[::1]",
        "localhost:",
        "localhost:8090:8090",
        "0.0.0.0:8090",
        "user@localhost:8090",
    ],
)
def test_every_other_address_is_refused_whatever_is_asked(host: str | None) -> None:
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        assert ask(method, host=host)[0] == 403


@pytest.mark.parametrize("headers", OTHERS)
def test_another_sites_page_changes_nothing(headers: dict[str, str]) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert ask(method, **headers)[0] == 403


def test_own_pages_and_programs_change_things() -> None:
    assert ask("POST", origin=f"http://{OWN}", **{"sec-fetch-site": "same-origin"})[0] == 200
    assert ask("POST", host="localhost:8090", origin="http://localhost:8090")[0] == 200
    assert ask("POST", **{"sec-fetch-site": "none"})[0] == 200
    assert ask("POST")[0] == 200


def test_another_site_may_link_here_but_load_nothing() -> None:
    elsewhere = {"sec-fetch-site": "cross-site"}
    assert ask(**elsewhere, **{"sec-fetch-mode": "navigate"})[0] == 200
    for mode in ("no-cors", "cors", "websocket"):
        assert ask(**elsewhere, **{"sec-fetch-mode": mode})[0] == 403
    assert ask(**elsewhere)[0] == 403


@pytest.mark.parametrize("host", [OWN, "evil.example"])
def test_every_answer_carries_the_policy_even_a_refusal(host: str) -> None:
    _, headers = ask(host=host)
    policy = headers[b"content-security-policy"].decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in policy
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"same-origin"
