"""What the console says about the Python worker of an endpoint, asked of a gateway that is there, silent or strange."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tsavo.console.workers import worker_of


class Says(BaseHTTPRequestHandler):
    """Answers every question with the server's one answer."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        content: bytes = self.server.answer  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Says)
    server.asked, server.answer = [], b""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url_of(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_it_tells_what_the_gateway_tells(gateway: Any) -> None:
    state = {"name": "backing-off", "failures": 3, "reason": "it ran out of memory", "retry_after": 4.0}
    gateway.answer = json.dumps({"name": "e", "parameters": {"version": "m@1", "state": state}}).encode()
    worker = worker_of(url_of(gateway), "credit.eu")
    assert (worker.name, worker.failures, worker.reason, worker.retry_after) == (
        "backing-off",
        3,
        "it ran out of memory",
        4.0,
    )
    assert gateway.asked == ["/v2/models/credit.eu"]


@pytest.mark.parametrize("answer", [b"", b"pear", b"[]", b'{"parameters": {"state": {"name": "merry"}}}'])
def test_a_strange_answer_is_no_error(gateway: Any, answer: bytes) -> None:
    gateway.answer = answer
    assert worker_of(url_of(gateway), "credit").name == "unknown"


def test_nobody_there_and_nobody_answering() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert worker_of(f"http://127.0.0.1:{port}", "credit").name == "unknown"
        silent.listen()
        assert worker_of(f"http://127.0.0.1:{port}", "credit").name == "unknown"
