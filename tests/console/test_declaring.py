from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.testing import TestClient

from tsavo.console.api import API_ROUTES
from tsavo.console.declaring import act, all_declared, checked, guard_rights, look, replace
from tsavo.console.web import WEB_ROUTES
from tsavo.governance import Right


async def note_loop(request: Request[Any, Any, Any]) -> None:
    """Runs on the event loop itself."""
    request.app.state["loop"] = threading.current_thread().name


@look("/seen", before_request=note_loop)
def seen(request: Request[Any, Any, Any]) -> dict[str, str]:
    return {"thread": threading.current_thread().name, "loop": request.app.state["loop"]}


def test_every_route_declares_the_right_that_it_needs() -> None:
    assert len([*API_ROUTES, *WEB_ROUTES]) > 40
    for handler in (*API_ROUTES, *WEB_ROUTES):
        assert isinstance(handler.opt["right"], Right)


def test_a_route_without_a_right_ends_the_import() -> None:
    @get("/api/open-to-all", sync_to_thread=False)
    def careless() -> str:
        return ""

    with pytest.raises(TypeError, match="open-to-all"):
        checked([*API_ROUTES, careless])


def test_what_changes_something_needs_more_than_the_right_to_read() -> None:
    for handler in (*API_ROUTES, *WEB_ROUTES):
        if handler.http_methods & {"POST", "PUT"}:
            assert handler.opt["right"] is not Right.READ, handler.paths


def test_a_route_that_slipped_past_the_list_ends_the_application() -> None:
    @get("/smuggled", sync_to_thread=False)
    def smuggled() -> str:
        return ""

    with pytest.raises(TypeError, match="smuggled"):
        all_declared(Litestar([seen, smuggled], openapi_config=None))


def test_something_other_than_http_ends_the_application() -> None:
    @websocket("/socket", opt={"right": Right.READ})
    async def socket(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()

    with pytest.raises(TypeError, match="socket"):
        all_declared(Litestar([socket], openapi_config=None))


def test_two_threaded_functions_on_one_path_end_the_application() -> None:
    @act("/seen", Right.PLUG)
    def also() -> dict[str, str]:
        return {}

    with pytest.raises(TypeError, match="share the path /seen"):
        all_declared(Litestar([seen, also], openapi_config=None))


def test_functions_run_in_a_thread_and_not_on_the_event_loop() -> None:
    with TestClient(all_declared(Litestar([seen], openapi_config=None))) as client:
        told = client.get("/seen").json()
    assert told["thread"] not in (told["loop"], threading.main_thread().name)


def test_the_guard_lets_nobody_in_without_the_right(monkeypatch: pytest.MonkeyPatch) -> None:
    from tsavo.console import declaring
    from tsavo.governance import Principal
    from tsavo.vocabulary import Forbidden

    monkeypatch.setattr(declaring, "local_owner", lambda name: Principal(name, frozenset({Right.READ})))

    @act("/act", Right.PLUG)
    def pull() -> str:
        return "pulled"

    @replace("/replace", Right.REGISTER)
    def put_it() -> str:
        return "replaced"

    @post("/plain", opt={"right": Right.READ}, sync_to_thread=False)
    def plain() -> str:
        return "read"

    def refuse(_request: Any, error: Forbidden) -> Any:
        from litestar import Response

        return Response(error.as_dict(), status_code=403)

    app = Litestar(
        [pull, put_it, plain, seen],
        guards=[guard_rights],
        openapi_config=None,
        exception_handlers={Forbidden: refuse},
    )
    app.state["parts"] = SimpleNamespace(owner="eve")
    with TestClient(all_declared(app)) as client:
        assert client.get("/seen").status_code == 200
        assert client.post("/plain").status_code == 201
        for answer in (client.post("/act"), client.put("/replace")):
            assert answer.status_code == 403
            assert "the right" in answer.text
        assert client.options("/act").status_code == 204
