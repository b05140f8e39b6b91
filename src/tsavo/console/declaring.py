"""How a control route is declared: with the right that it needs, or not at all.

Handlers are made by `look` and `act` only. `checked` is called where the routers are put together, at import: a
handler that came some other way, without a right, ends the import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from litestar import get, post, put
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from tsavo.governance import Principal, Right, local_owner, require
from tsavo.vocabulary import Invalid

__all__ = ["act", "checked", "guard_rights", "look", "principal_of", "replace"]

_Handler = TypeVar("_Handler", bound=Callable[..., Any])
_RIGHT = "right"
_USER = "x-tsavo-user"


def look(path: str, right: Right = Right.READ, **options: Any) -> Callable[[_Handler], HTTPRouteHandler]:
    """A GET route; its function runs in a thread."""
    made: Any = get(path, opt={_RIGHT: right}, sync_to_thread=True, **options)
    return made  # type: ignore[no-any-return]


def act(path: str, right: Right, **options: Any) -> Callable[[_Handler], HTTPRouteHandler]:
    """A POST route that needs `right`; its function runs in a thread."""
    made: Any = post(path, opt={_RIGHT: right}, sync_to_thread=True, status_code=200, **options)
    return made  # type: ignore[no-any-return]


def replace(path: str, right: Right, **options: Any) -> Callable[[_Handler], HTTPRouteHandler]:
    """A PUT route that needs `right`; its function runs in a thread."""
    made: Any = put(path, opt={_RIGHT: right}, sync_to_thread=True, **options)
    return made  # type: ignore[no-any-return]


def checked(handlers: Iterable[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """The handlers, all of which declare their right.

    Raises
    ------
    TypeError
        For one that does not.
    """
    listed = list(handlers)
    for handler in listed:
        if not isinstance(handler.opt.get(_RIGHT), Right):
            raise TypeError(
                f"the control route {sorted(handler.paths)} does not declare the right that it needs"
            )
    return listed


def guard_rights(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse who lacks the route's right; routes of the framework's own (the OpenAPI document) need `READ`."""
    require(principal_of(connection), handler.opt.get(_RIGHT, Right.READ))


def principal_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    """Who acts: the local owner, under the name that the client gives.

    Raises
    ------
    Invalid
        When the name could not stand in an audit trail.
    """
    name = connection.headers.get(_USER, "").strip() or connection.app.state["parts"].owner
    if len(name) > 200 or not name.isprintable():
        raise Invalid(
            "not a name", field="X-Tsavo-User", found=name[:50], expected="at most 200 printable characters"
        )
    return local_owner(name)
