"""Against a real server on loopback, which answers what the console's own door would."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from tsavo import vocabulary
from tsavo.client.locating import NotRunning
from tsavo.client.transport import Transport
from tsavo.console.problems import problem_bytes
from tsavo.vocabulary import Invalid, TsavoError, Unavailable

KINDS = sorted(
    (
        found
        for name in vocabulary.__all__
        if isinstance(found := getattr(vocabulary, name), type) and issubclass(found, TsavoError)
    ),
    key=lambda kind: kind.__name__,
)


class Server(NamedTuple):
    """Answers every request with `answers[path]`: status and body; keeps what was asked."""

    url: str
    answers: dict[str, tuple[int, bytes]]
    asked: list[tuple[str, str, dict[str, str], bytes]]


@pytest.fixture
def server() -> Iterator[Server]:
    answers: dict[str, tuple[int, bytes]] = {}
    asked: list[tuple[str, str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path, dict(self.headers.items()), body))
            status, content = answers[self.path.partition("?")[0]]
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Server(f"http://127.0.0.1:{listening.server_port}", answers, asked)
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", KINDS)
def test_errors_come_back_as_they_were_raised(server: Server, kind: type[TsavoError]) -> None:
    raised = kind(
        "it went wrong",
        field="age",
        found="old",
        expected="a number",
        next_step="send a number",
        retry_after=2.5,
        details={"rows": [1]},
    )
    server.answers["/api/x"] = problem_bytes(raised)
    with Transport(server.url) as transport, pytest.raises(TsavoError) as caught:
        transport.get("/api/x")
    assert type(caught.value) is kind
    assert str(caught.value) == str(raised)
    assert (caught.value.retry_after, caught.value.details) == (2.5, {"rows": [1]})
    assert caught.value.as_dict() == raised.as_dict()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, b"<html>bad gateway</html>", Unavailable),
        (429, b"", Unavailable),
        (404, b"<html>no such page</html>", TsavoError),
        (500, b'{"kind": "from the future", "detail": "it says"}', TsavoError),
        (404, b"[]", TsavoError),
    ],
)
def test_a_server_that_is_no_tsavo_is_told_apart(
    server: Server, status: int, body: bytes, kind: type[TsavoError]
) -> None:
    server.answers["/x"] = (status, body)
    with Transport(server.url) as transport, pytest.raises(kind) as caught:
        transport.post("/x", {})
    assert str(status) in str(caught.value)
    assert "check the URL" in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1}'])
def test_an_answer_of_another_shape_is_no_crash(server: Server, body: bytes) -> None:
    server.answers["/x"] = (200, body)
    with Transport(server.url) as transport, pytest.raises(Unavailable, match="cannot be read"):
        transport.get("/x", dict[str, str])


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Transport(url) as transport, pytest.raises(NotRunning) as caught:
            transport.get("/api/status")
    assert url in str(caught.value)
    assert "tsavo up --detach" in str(caught.value)
    assert caught.value.home is None


def test_a_connection_that_breaks_is_unavailable() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def hang_up() -> None:
            connection, _ = listening.accept()
            connection.recv(100_000)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with (
            Transport(f"http://127.0.0.1:{listening.getsockname()[1]}") as transport,
            pytest.raises(Unavailable, match="connection failed"),
        ):
            transport.get("/x")
        thread.join()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8090", "ftp://x", "http://", "http://x:port", "http://[::1"])
def test_what_is_no_url_is_named(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        Transport(url)
    assert caught.value.field == "url"


def test_a_proxy_of_the_environment_is_not_asked_about_loopback(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.answers["/x"] = (200, b"1")
    with Transport(server.url) as transport:
        assert transport.get("/x") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ada", "ada"),
        ("ada\r\nX-Evil: 1", "adaX-Evil: 1"),
        ("Jürgen", "Jrgen"),
        ("x" * 300, "x" * 200),
        ("ü", "unknown"),
    ],
)
def test_the_person_is_named_in_every_request(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv("TSAVO_USER", name)
    server.answers["/x"] = (200, b"{}")
    with Transport(server.url) as transport:
        transport.get("/x")
        transport.post("/x", {})
    assert [headers["X-Tsavo-User"] for _, _, headers, _ in server.asked] == [said, said]
    assert all("X-Evil" not in headers for _, _, headers, _ in server.asked)


def test_query_values_that_are_none_are_left_out(server: Server) -> None:
    server.answers["/x"] = (200, b"{}")
    with Transport(server.url) as transport:
        transport.get("/x", search="a b&c", state=None, limit=3)
    assert server.asked[0][1] == "/x?search=a+b%26c&limit=3"
