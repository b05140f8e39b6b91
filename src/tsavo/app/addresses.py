"""How an address is written."""

from __future__ import annotations

__all__ = ["url_of"]


def url_of(host: str, port: int) -> str:
    """The URL of a host and port.

    >>> url_of("::1", 8080)
    'http://[::1]:8080'
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
