"""How much patience connections are met with: clients that are slow, or only pretend to be clients, are cut off.

Nothing of this costs a request more than reading the clock once: the connections are looked through once a second.
"""

from __future__ import annotations

import msgspec

__all__ = ["ConnectionLimits"]


class ConnectionLimits(msgspec.Struct, frozen=True):
    """What a client may take.

    Attributes
    ----------
    connections
        Open ones at the same time; who comes later gets a 503.
    head_seconds
        From the start of a request to the end of its headers; the first request counts from the connection on.
    body_seconds
        From the start of a request to the end of its body.
    answer_seconds
        How long a client may leave its answer unread.
    idle_seconds
        How long a connection is kept between two requests.
    """

    connections: int = 10_000
    head_seconds: float = 15.0
    body_seconds: float = 60.0
    answer_seconds: float = 60.0
    idle_seconds: float = 75.0
