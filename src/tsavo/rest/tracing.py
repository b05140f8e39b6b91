"""W3C Trace Context in HTTP headers.

The answer to a request of a trace says in ``traceresponse`` and in ``traceparent`` which part of it this was: the first
is what the working group's draft of response headers calls it, the second what clients of today look for.

Specification: W3C "Trace Context" level 1, section 3; ``traceresponse`` is of the working group's drafts for later
levels, section "Trace Context HTTP Response Headers Format".
"""

from __future__ import annotations

from typing import Final

from tsavo.endpoints.traces import Trace, read_trace
from tsavo.rest.asgi import Scope

__all__ = ["TRACEPARENT", "response_headers", "trace_of"]

TRACEPARENT: Final = b"traceparent"
_TRACESTATE: Final = b"tracestate"
_TRACERESPONSE: Final = b"traceresponse"


def trace_of(scope: Scope) -> Trace | None:
    """The trace of a request; ``None`` where there is none, or more than one."""
    said = [value for name, value in scope["headers"] if name == TRACEPARENT]
    if len(said) != 1:
        return None
    state = b",".join(value for name, value in scope["headers"] if name == _TRACESTATE)
    return read_trace(said[0].decode("latin-1"), state.decode("latin-1"))


def response_headers(trace: Trace) -> tuple[tuple[bytes, bytes], ...]:
    """What the answer tells."""
    parent = trace.traceparent.encode()
    headers = ((_TRACERESPONSE, parent), (TRACEPARENT, parent))
    return (*headers, (_TRACESTATE, trace.state.encode())) if trace.state else headers
