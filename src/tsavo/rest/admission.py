"""How much is taken in at the same time: what comes beyond that is told to come again, so that memory stays bounded."""

from __future__ import annotations

from tsavo.vocabulary import Overloaded

__all__ = ["Admission"]

_RETRY_SECONDS = 1.0


class Admission:
    """Counts the requests and the bytes of their bodies that one gateway process holds.

    Parameters
    ----------
    requests
        Requests at the same time.
    body_bytes
        Bytes of bodies at the same time, over all requests.
    """

    __slots__ = ("_most_bytes", "_most_requests", "bytes", "requests", "turned_away")

    def __init__(self, *, requests: int, body_bytes: int) -> None:
        self._most_requests = requests
        self._most_bytes = body_bytes
        self.requests = 0
        self.bytes = 0
        self.turned_away = 0

    def enter(self) -> None:
        """Take a request in; raise `Overloaded` where there are too many. `leave` is due only after success."""
        if self.requests >= self._most_requests:
            self.turned_away += 1
            raise Overloaded(
                "too many requests at the same time",
                field="requests",
                found=self.requests,
                expected=f"at most {self._most_requests}",
                next_step="send it again",
                retry_after=_RETRY_SECONDS,
            )
        self.requests += 1

    def take(self, size: int) -> None:
        """Hold `size` more bytes of a body; raise `Overloaded` where others hold too much already."""
        if self.bytes + size > self._most_bytes:
            self.turned_away += 1
            raise Overloaded(
                "too many large requests at the same time",
                field="body",
                found=f"{size} bytes beside {self.bytes} of other requests",
                expected=f"at most {self._most_bytes} bytes together",
                next_step="send it again",
                retry_after=_RETRY_SECONDS,
            )
        self.bytes += size

    def leave(self, size: int) -> None:
        """A request is over that held `size` bytes."""
        self.requests -= 1
        self.bytes -= size
