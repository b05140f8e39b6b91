"""Tsavo: the last mile of machine learning.

>>> import tsavo
>>> client = tsavo.connect()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsavo.client import Client, Endpoint, Registered, Scores, connect

    __version__: str

__all__ = ["Client", "Endpoint", "Registered", "Scores", "__version__", "connect"]


def __getattr__(name: str) -> Any:
    """Load the client when it is first used, so that importing the package costs nothing."""
    if name == "__version__":
        from importlib.metadata import version

        return version("tsavo")
    if name in __all__:
        from tsavo import client

        return getattr(client, name)
    raise AttributeError(f"module 'tsavo' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
