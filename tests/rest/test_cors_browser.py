"""A real browser with a page of an origin that may score, and one with a page of another that may not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.rest.served import Served, echo, served
from tsavo.rest import Cors
from tsavo.vocabulary import Field, Route, VersionRef

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ONE = VersionRef("m", 1)
ASKS = """async ([url, options]) => {
    try {
        const answer = await fetch(url, {method: "POST", body: JSON.stringify({rows: [{x: 2.5}]}), ...options});
        return {type: answer.type, status: answer.status, text: await answer.text(), told: [...answer.headers]};
    } catch (error) {
        return {error: error.name};
    }
}"""
USUAL = {
    "headers": {
        "content-type": "application/json",
        "idempotency-key": "k",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
}


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title>")

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@contextmanager
def site() -> Iterator[str]:
    """A web site with one empty page; its origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        yield launched
        launched.close()


def ask(browser: Browser, origin: str, gateway: Served, options: dict[str, Any]) -> Any:
    """What a page of `origin` is told when it scores."""
    page = browser.new_page()
    page.set_default_timeout(10_000)
    page.goto(origin)
    told = page.evaluate(ASKS, [f"{gateway.url}/endpoints/e/score", options])
    page.close()
    return told


def test_a_page_of_an_allowed_origin_scores_and_another_does_not(browser: Browser, tmp_path: Path) -> None:
    version = echo(Field("x", "float64"))
    with (
        site() as friend,
        site() as stranger,
        served(tmp_path, {ONE: version}, [Route("e", 1, ONE)], cors=Cors([friend])) as gateway,
    ):
        first = ask(browser, friend, gateway, USUAL)
        again = ask(browser, friend, gateway, USUAL)
        assert (first["status"], first["type"]) == (200, "cors")
        assert '"same_x":2.5' in first["text"]
        assert again["text"] == first["text"]
        # A page reads what a caller may read.
        told = dict(again["told"])
        assert told["idempotency-replayed"] == "true"
        assert told["traceresponse"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
        assert len(gateway.records()) == 1

        wrong = ask(browser, friend, gateway, USUAL | {"body": "no json"})
        assert (wrong["status"], "Idempotency-Key" in wrong["text"]) == (422, True)

        assert ask(browser, stranger, gateway, USUAL) == {"error": "TypeError"}
        # Sent without asking first, and without seeing the answer.
        blind = ask(browser, stranger, gateway, {"mode": "no-cors"})
        assert (blind["type"], blind["text"]) == ("opaque", "")
        assert len(gateway.records()) == 1


def test_no_page_scores_unless_the_settings_say_so(browser: Browser, tmp_path: Path) -> None:
    version = echo(Field("x", "float64"))
    with site() as page, served(tmp_path, {ONE: version}, [Route("e", 1, ONE)]) as gateway:
        assert ask(browser, page, gateway, USUAL) == {"error": "TypeError"}
        assert ask(browser, page, gateway, {}) == {"error": "TypeError"}
        assert gateway.records() == []
