"""How an address is written."""

from __future__ import annotations

__all__ = ["target_of", "url_of"]


def url_of(host: str, port: int) -> str:
    """The URL of a host and port.

    >>> url_of("::1", 8080)
    'http://[::1]:8080'
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def target_of(host: str, port: int) -> str:
    """A host and port as gRPC takes them: an address, because a name could stand for several.

    >>> target_of("localhost", 8081)
    '127.0.0.1:8081'
    """
    return url_of("127.0.0.1" if host == "localhost" else host, port).removeprefix("http://")
