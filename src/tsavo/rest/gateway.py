"""The data plane's REST door: one raw ASGI callable, because a framework would cost more than the model.

POST /v2/models/{endpoint}/infer      score (Open Inference Protocol, JSON)
GET  /v2/models/{endpoint}            metadata
GET  /v2/models/{endpoint}/ready      whether its champion is loaded and can answer
GET  /v2, /v2/health/live, /v2/health/ready
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from tsavo.endpoints import DataPlane
from tsavo.rest.asgi import Receive, Scope, Send, send_json, send_problem
from tsavo.rest.bodies import Disconnected, read_body
from tsavo.rest.open_inference import decode_request, encode_answer, metadata
from tsavo.rest.problems import problem
from tsavo.vocabulary import NotFound, TsavoError, Unavailable

__all__ = ["Gateway"]

_INFER_PREFIX: Final = "/v2/models/"
_INFER_SUFFIX: Final = "/infer"
_MODEL: Final = re.compile(r"/v2/models/([^/]+)(/ready)?")
_CALLER: Final = b"x-tsavo-caller"


class Gateway:
    """The ASGI application.

    Parameters
    ----------
    plane
        Scores.
    version
        Of Tsavo, for the server metadata.
    max_body
        Bytes that a request body may have.
    report
        Told of a fault of our own (not of the caller's), off the request's way.
    """

    def __init__(
        self, plane: DataPlane, *, version: str, max_body: int, report: Callable[[BaseException], None]
    ) -> None:
        self._plane = plane
        self._max_body = max_body
        self._report = report
        self.ready = False
        self._server = msgspec.json.encode({"name": "tsavo", "version": version, "extensions": []})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            path: str = scope["path"]
            if path.endswith(_INFER_SUFFIX) and path.startswith(_INFER_PREFIX):
                await self._infer(path[len(_INFER_PREFIX) : -len(_INFER_SUFFIX)], scope, receive, send)
            else:
                await self._look(path, scope, send)
        except TsavoError as error:
            status, body = problem(error)
            await send_problem(send, status, body, error.retry_after)
        except Disconnected:
            return
        except Exception as error:  # the caller gets words, the log gets the trace
            self._report(error)
            status, body = problem(
                TsavoError(
                    "Tsavo failed on this request", next_step="see the gateway's log, and run 'tsavo doctor'"
                )
            )
            await send_problem(send, status, body)

    async def _infer(self, endpoint: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._only(send, b"POST")
            return
        request = decode_request(await read_body(scope, receive, self._max_body))
        answer = await self._plane.infer(
            endpoint, request.tensors, wanted=request.wanted, caller=_caller(scope)
        )
        await send_json(send, encode_answer(answer, request))

    async def _look(self, path: str, scope: Scope, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await self._only(send, b"GET, HEAD")
        elif path in ("/v2", "/v2/"):
            await send_json(send, self._server)
        elif path == "/v2/health/live":
            await send_json(send, b'{"live":true}')
        elif path == "/v2/health/ready":
            await send_json(
                send, b'{"ready":true}' if self.ready else b'{"ready":false}', 200 if self.ready else 503
            )
        elif match := _MODEL.fullmatch(path):
            await self._model(match[1], wants_ready=match[2] is not None, send=send)
        else:
            raise NotFound(
                "there is nothing at this address",
                field="path",
                found=path,
                expected="/v2/models/{endpoint}/infer, /v2/models/{endpoint}, /v2/health/ready",
            )

    async def _model(self, endpoint: str, *, wants_ready: bool, send: Send) -> None:
        champion = await self._plane.champion(endpoint)
        if not wants_ready:
            await send_json(send, msgspec.json.encode(metadata(endpoint, champion.version, champion.state)))
            return
        state = champion.state
        # Who is idle is loaded by the next request, and who failed before and is loaded again can answer.
        if state.name not in {"ready", "idle"}:
            reason = state.reason or f"{champion.ref} is being loaded"
            raise Unavailable(reason, field="endpoint", found=endpoint, retry_after=state.retry_after)
        await send_json(send, msgspec.json.encode({"name": endpoint, "ready": True}))

    async def _only(self, send: Send, methods: bytes) -> None:
        body = msgspec.json.encode(
            {
                "type": "tsavo:invalid",
                "title": "Method not allowed",
                "status": 405,
                "detail": f"use {methods.decode()}",
            }
        )
        headers: list[tuple[bytes, bytes]] = [
            (b"content-type", b"application/problem+json"),
            (b"allow", methods),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 405, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _caller(scope: Scope) -> str:
    """Who calls, as far as the caller says (until keys come): kept with the decision, cut to 100 characters."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        if name == _CALLER:
            return value[:100].decode("latin-1")
    return ""
