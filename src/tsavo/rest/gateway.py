"""The data plane's REST door: one raw ASGI callable, because a framework would cost more than the model.

It finds the road that a request takes, and turns what is raised on the way into a problem document. The roads are in
the modules of their protocols; those of the server itself are here:

GET  /v2, /v2/health/live, /v2/health/ready
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from tsavo.endpoints import DataPlane
from tsavo.endpoints.retries import Retries
from tsavo.rest import (
    families,
    kserve_v1,
    mlflow_roads,
    open_inference_roads,
    openapi,
    repository,
    score_roads,
    statistics,
)
from tsavo.rest.admission import Admission
from tsavo.rest.asgi import Receive, Scope, Send
from tsavo.rest.bodies import Disconnected
from tsavo.rest.cors import ORIGIN, Cors
from tsavo.rest.exchange import Exchange, Handler, Reply, Road, road
from tsavo.rest.idempotency import IDEMPOTENCY_KEY, answer_once
from tsavo.rest.problems import method_not_allowed, problem
from tsavo.rest.tracing import TRACEPARENT, response_headers, trace_of
from tsavo.vocabulary import Forbidden, NotFound, Overloaded, TsavoError

__all__ = ["Gateway"]

_INFER_PREFIX: Final = "/v2/models/"
_INFER_SUFFIX: Final = "/infer"
_REQUESTS: Final = 1_024
_BODY_BYTES: Final = 256 << 20


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
    admission
        How much is taken in at the same time; questions about health are always answered.
    retries
        Answers requests with a key once; without it, keys are not looked at.
    cors
        Which web pages may use this door; by default none.
    """

    def __init__(
        self,
        plane: DataPlane,
        *,
        version: str,
        max_body: int,
        report: Callable[[BaseException], None],
        admission: Admission | None = None,
        retries: Retries | None = None,
        cors: Cors | None = None,
    ) -> None:
        self.admission = admission or Admission(requests=_REQUESTS, body_bytes=max(_BODY_BYTES, max_body))
        self._plane = plane
        self._max_body = max_body
        self._report = report
        self._retries = retries
        self._cors = cors or Cors()
        self.ready = False
        extensions = open_inference_roads.EXTENSIONS
        self._server = Reply(
            msgspec.json.encode({"name": "tsavo", "version": version, "extensions": extensions})
        )
        self._roads: tuple[Road, ...] = (
            road("GET", "/v2", self._metadata),
            road("GET", "/v2/", self._metadata),
            road("GET", "/v2/health/live", self._live),
            road("GET", "/v2/health/ready", self._ready),
            # Before the models: "stats" is no endpoint here.
            *statistics.ROADS,
            *open_inference_roads.ROADS,
            *score_roads.ROADS,
            *mlflow_roads.ROADS,
            *kserve_v1.ROADS,
            *repository.ROADS,
            *families.ROADS,
            *openapi.ROADS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as an ASGI application behind any server."""
        if scope["type"] != "http":
            return
        reply = await self.respond(scope, receive)
        if reply is not None:
            await _send(send, reply)

    async def respond(self, scope: Scope, receive: Receive) -> Reply | None:
        """The reply to one request; ``None`` when the client went away before it was whole."""
        exchange = Exchange(scope, receive, self._plane, self._max_body, self.admission)
        headers = exchange.headers
        if TRACEPARENT in headers:
            exchange.trace = trace_of(scope)
        try:
            if ORIGIN not in headers:
                reply = await self._reply(exchange)
            else:
                reply = await self._reply_to_page(exchange, headers[ORIGIN])
        except Disconnected:
            return None
        if exchange.trace is not None:
            reply = reply.telling(response_headers(exchange.trace))
        return reply

    async def _reply_to_page(self, exchange: Exchange, origin: bytes) -> Reply:
        cors = self._cors
        reply = cors.preflight(exchange.scope, origin)
        if reply is None:
            try:
                cors.check(exchange.scope, origin)
            except Forbidden as error:
                reply = problem(error)
            else:
                reply = await self._reply(exchange)
        return reply.telling(cors.headers(origin))

    async def _reply(self, exchange: Exchange) -> Reply:
        scores = exchange.scope["method"] == "POST"
        if scores:
            try:
                self.admission.enter()
            except Overloaded as error:
                return problem(error)
        try:
            if scores:
                if self._retries is not None and IDEMPOTENCY_KEY in exchange.headers:
                    return await self._answer_once(exchange, self._retries)
                # The main road is found without looking at the others.
                path: str = exchange.scope["path"]
                if path.endswith(_INFER_SUFFIX) and path.startswith(_INFER_PREFIX):
                    endpoint = path[len(_INFER_PREFIX) : -len(_INFER_SUFFIX)]
                    if "/" not in endpoint:
                        return await open_inference_roads.infer(exchange, endpoint)
            return await self._answer(exchange)
        except TsavoError as error:
            if scores:
                self._plane.statistics.refused(error)
            return problem(error)
        except Disconnected:
            raise
        except Exception as error:  # the caller gets words, the log gets the trace
            self._report(error)
            return problem(
                TsavoError(
                    "Tsavo failed on this request", next_step="see the gateway's log, and run 'tsavo doctor'"
                )
            )
        finally:
            if scores:
                self.admission.leave(exchange.held)

    async def _answer(self, exchange: Exchange) -> Reply:
        found = self._find(exchange.scope["method"], exchange.scope["path"])
        if isinstance(found, Reply):
            return found
        handle, named = found
        return await handle(exchange, **named)

    async def _answer_once(self, exchange: Exchange, retries: Retries) -> Reply:
        found = self._find(exchange.scope["method"], exchange.scope["path"])
        if isinstance(found, Reply):
            return found
        handle, named = found
        # Where the address names none, it is that of the only one.
        endpoint = next(iter(named.values()), None) or "".join(self._plane.names(limit=1))
        return await answer_once(retries, exchange, endpoint, lambda: handle(exchange, **named))

    def _find(self, method: str, path: str) -> tuple[Handler, dict[str, str]] | Reply:
        """What answers at this address, and the names in it; or that it does not take this method."""
        allowed = []
        for candidate in self._roads:
            match = candidate.path.fullmatch(path)
            if match is None:
                continue
            if candidate.method == method or (candidate.method == "GET" and method == "HEAD"):
                return candidate.handle, match.groupdict()
            allowed.append(candidate.method)
        if allowed:
            return method_not_allowed(allowed)
        raise NotFound(
            "there is nothing at this address",
            field="path",
            found=path,
            expected="/v2/models/{endpoint}/infer, /v2/models/{endpoint}, /v2/health/ready",
        )

    async def _metadata(self, _exchange: Exchange) -> Reply:
        return self._server

    async def _live(self, _exchange: Exchange) -> Reply:
        return Reply(b'{"live":true}')

    async def _ready(self, _exchange: Exchange) -> Reply:
        return Reply(b'{"ready":true}') if self.ready else Reply(b'{"ready":false}', 503)


async def _send(send: Send, reply: Reply) -> None:
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", b"%d" % len(reply.body)),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
