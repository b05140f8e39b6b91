"""The server: calls come in as bytes, answers go out as bytes, errors as statuses.

It runs in the event loop of the process that opens it. Several processes share the port by SO_REUSEPORT, because
gRPC cannot be handed a socket that listens already.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeAlias

import grpc  # type: ignore[import-untyped]
import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from tsavo.endpoints import DataPlane
from tsavo.endpoints.origins import request_digest
from tsavo.endpoints.retries import Keeping, Replayed, Retries, digest_of
from tsavo.grpc.messages import SERVICE
from tsavo.grpc.metadata import REPLAYED, Asked, read_metadata, trace_metadata
from tsavo.grpc.open_inference import Call, Calls
from tsavo.grpc.reading import Reading
from tsavo.grpc.statuses import code_of, details_of, trailers_of
from tsavo.vocabulary import TsavoError, Unavailable, Unreadable

__all__ = ["Door"]

_Answer: TypeAlias = Callable[[Any, Any], Awaitable[bytes]]
_SLOW_MESSAGES: Final = 8
_MESSAGE_SECONDS: Final = 60.0
_SCORES: Final = "ModelInfer"


class Admission(Protocol):
    """Counts what all doors of a process hold, so that its memory is bounded; a door that has too much says so."""

    def enter(self) -> None:
        """Take a request in, or raise `Overloaded`."""
        ...

    def take(self, size: int) -> None:
        """Hold the bytes of its body, or raise `Overloaded`."""
        ...

    def leave(self, size: int) -> None:
        """A request is over that held `size` bytes."""
        ...


class Door:
    """Serves the Open Inference Protocol by gRPC.

    Parameters
    ----------
    plane
        Scores.
    version
        Of Tsavo, for the server metadata.
    max_message
        Bytes that a request may have.
    max_calls
        Calls that it works on at the same time; more are refused before their messages are read.
    admission
        Counts what is held.
    report
        Told of a fault of our own (not of the caller's), off the request's way.
    retries
        Answers requests with a key once; without it, keys are not looked at.
    slow_messages
        Messages that may take longer than a second to arrive, at the same time: each is held up to `max_message`.
    message_seconds
        That a message may take to arrive.
    """

    def __init__(
        self,
        plane: DataPlane,
        *,
        version: str,
        max_message: int,
        max_calls: int,
        admission: Admission,
        report: Callable[[BaseException], None],
        retries: Retries | None = None,
        slow_messages: int = _SLOW_MESSAGES,
        message_seconds: float = _MESSAGE_SECONDS,
    ) -> None:
        self._calls = Calls(plane, version)
        self._max_calls = max_calls
        self._admission = admission
        self._report = report
        self._retries = retries
        self._max_message = max_message
        self._reading = Reading(slow=slow_messages, seconds=message_seconds)
        self._server: Any = None

    async def open(self, address: str) -> None:
        """Answer on `address` (``127.0.0.1:8081``) from now on; raise `Unavailable` when that cannot be."""
        server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", self._max_message),
                ("grpc.max_send_message_length", -1),
            ],
            maximum_concurrent_rpcs=self._max_calls,
        )
        handlers = {
            # To a client this is a call of one message; to us the message is ours to wait for.
            call.name: grpc.stream_unary_rpc_method_handler(self._answering(call))
            for call in self._calls.table()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise Unavailable(
                "the gRPC door cannot listen on this port",
                field="gateway.grpc_port",
                found=address,
                next_step="choose another one with --grpc-port N (0 takes any free one, -1 leaves gRPC off)",
            ) from error
        await server.start()
        self._server = server
        self._calls.ready = True

    async def close(self, grace: float) -> None:
        """Take no more calls, and finish what was begun within `grace` seconds."""
        self._calls.ready = False
        if self._server is not None:
            await self._server.stop(grace)

    @contextmanager
    def _admitted(self, size: int) -> Iterator[None]:
        admission = self._admission
        admission.enter()
        held = 0
        try:
            admission.take(size)
            held = size
            yield
        finally:
            admission.leave(held)

    def _answering(self, call: Call) -> _Answer:
        parse = call.request.FromString
        respond = call.respond
        reading = self._reading
        retries = self._retries if call.name == _SCORES else None

        async def answer(_messages: Any, context: Any) -> bytes:
            asked = read_metadata(context.invocation_metadata())
            told = trace_metadata(asked.trace)
            try:
                body = await reading.read(context)
                with self._admitted(len(body)):
                    if call.name == _SCORES:
                        asked = await _seen(asked, body)
                    request = parse(body)
                    if asked.key is None or retries is None:
                        response = await respond(request, asked)
                        encoded: bytes = response.SerializeToString()
                    else:
                        encoded, more = await _respond_once(retries, call, request, asked, asked.key)
                        told += more
                    if told:
                        context.set_trailing_metadata(told)
                    return encoded
            except DecodeError:
                refusal: TsavoError = Unreadable(
                    f"not a {call.name}Request", field="message", expected="a message of the protocol"
                )
            except TsavoError as error:
                refusal = error
            except Exception as error:  # the caller gets words, the log gets the trace
                self._report(error)
                refusal = TsavoError(
                    "Tsavo failed on this request", next_step="see the gateway's log, and run 'tsavo doctor'"
                )
            await context.abort(code_of(refusal), details_of(refusal), told + trailers_of(refusal))
            raise refusal

        return answer


async def _seen(asked: Asked, body: bytes) -> Asked:
    """What a call says, with what is kept of its message."""
    received = time.time_ns()
    return msgspec.structs.replace(asked, received=received, digest=await request_digest(body))


async def _respond_once(
    retries: Retries, call: Call, request: Any, asked: Asked, key: str
) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """The answer, or the one that the same request got before; and what is said with it."""
    # Written anew, because the entries of a map may come in any order.
    message = request.SerializeToString(deterministic=True)
    digest = await digest_of(b"grpc", call.name.encode(), message)

    async def act(keeping: Keeping) -> bytes:
        response = await call.respond(request, msgspec.structs.replace(asked, keep=keeping.keep))
        if keeping.kept is not None:
            return keeping.kept.reply
        encoded: bytes = response.SerializeToString()
        return encoded

    given = await retries.once(request.model_name, asked.caller, key, digest, act)
    return (given.reply, REPLAYED) if isinstance(given, Replayed) else (given, ())
