"""How the Python worker of an endpoint is doing, as the gateway tells it: nobody else knows."""

from __future__ import annotations

import http.client
import json
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

import msgspec

__all__ = ["WorkerView", "worker_of"]

_SECONDS: Final = 1.0
_LONGEST: Final = 1 << 20


class WorkerView(msgspec.Struct, frozen=True):
    """The Python worker of an endpoint's champion, in the gateway process that was asked.

    Attributes
    ----------
    name
        ``ready``, ``idle`` (loaded by the next request), ``loading``, ``backing-off`` after a failure, ``failed``, or
        ``unknown`` when the gateway does not tell.
    failures, reason
        How often it failed of late, and how the last time.
    retry_after
        Seconds until it is tried again.
    """

    name: Literal["ready", "idle", "loading", "backing-off", "failed", "unknown"]
    failures: int = 0
    reason: str = ""
    retry_after: float | None = None
    alone: bool = False
    process: int | None = None


class _Parameters(msgspec.Struct):
    state: WorkerView


class _Metadata(msgspec.Struct):
    parameters: _Parameters


def worker_of(gateway_url: str, endpoint: str) -> WorkerView:
    """Ask the gateway how the champion of `endpoint` is doing; it has a second to answer."""
    address = urlsplit(gateway_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_SECONDS)
    try:
        connection.request("GET", f"/v2/models/{quote(endpoint)}")
        told: dict[str, Any] = json.loads(connection.getresponse().read(_LONGEST))
        return msgspec.convert(told, _Metadata).parameters.state
    except (OSError, http.client.HTTPException, ValueError, msgspec.MsgspecError) as error:
        return WorkerView("unknown", reason=f"the gateway does not tell ({type(error).__name__})")
    finally:
        connection.close()
