"""How a control route is declared: with the right that it needs, or not at all.

Handlers are made by `look`, `act` and `replace`. `checked` is called where the routers are put together, at import: a
handler that came some other way, without a right, ends the import. `all_declared` looks once more at the application
as it was built, so that nothing that a framework or a plugin added answers without a right either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any, Final, TypeVar

import msgspec
from litestar import Litestar, get, post, put
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.routes import HTTPRoute

from tsavo.console.settling import settled
from tsavo.governance import Principal, Right, local_owner, require
from tsavo.vocabulary import Invalid

__all__ = [
    "PROBLEMS",
    "READ_ONLY",
    "Problem",
    "act",
    "all_declared",
    "checked",
    "guard_rights",
    "look",
    "principal_of",
    "replace",
]

_Handler = TypeVar("_Handler", bound=Callable[..., Any])
_RIGHT = "right"
_USER = "x-tsavo-user"
_CHANGES_ROUTES: Final = frozenset({Right.DEPLOY, Right.PLUG})

READ_ONLY: Final = {_RIGHT: Right.READ}
"""What routers of the framework's own (static files) declare."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong (RFC 9457), with the field at fault, what was found and expected, and the next step."""

    type: str
    title: str
    status: int
    detail: str
    kind: str
    reason: str
    field: str = ""
    found: str = ""
    expected: str = ""
    next_step: str = ""
    retry_after: float | None = None
    details: list[Any] = msgspec.field(default_factory=list)


PROBLEMS: Final = {
    status: ResponseSpec(
        Problem, description=said, media_type="application/problem+json", generate_examples=False
    )
    for status, said in (
        (400, "It cannot be read."),
        (403, "It lacks the right, or comes from a page of another site."),
        (404, "There is no such thing."),
        (409, "It contradicts what is there now."),
        (422, "A named field is not what was expected, or a rule says no."),
    )
}


def look(path: str, right: Right = Right.READ, **options: Any) -> Callable[[_Handler], HTTPRouteHandler]:
    """A GET route; its function runs in a thread."""
    return _declared(get, path, right, options)


def act(path: str, right: Right, **options: Any) -> Callable[[_Handler], HTTPRouteHandler]:
    """A POST route that needs `right`; its function runs in a thread, a coroutine function on the event loop.

    What changes routes is answered when the gateways follow (`settling`).
    """
    return _declared(post, path, right, {"status_code": 200, **options})


def replace(path: str, right: Right, **options: Any) -> Callable[[_Handler], HTTPRouteHandler]:
    """A PUT route that needs `right`; its function runs in a thread."""
    return _declared(put, path, right, options)


def _declared(
    method: Any, path: str, right: Right, options: dict[str, Any]
) -> Callable[[_Handler], HTTPRouteHandler]:
    def made(function: _Handler) -> HTTPRouteHandler:
        # The OpenAPI document calls an operation as the code does.
        named = {"operation_id": function.__name__, "responses": PROBLEMS, **options}
        if not iscoroutinefunction(function):
            named["sync_to_thread"] = True
            if method is not get and right in _CHANGES_ROUTES:
                function = settled(function)
        handler: HTTPRouteHandler = method(path, opt={_RIGHT: right}, **named)(function)
        return handler

    return made


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


def all_declared(app: Litestar) -> Litestar:
    """The application, all of whose routes declare their right and keep their threads.

    Raises
    ------
    TypeError
        When a route does not declare a right, is not HTTP, or shares its path with another one that runs in a
        thread: Litestar 2.25 runs only the last of them in a thread, and the others not at all.
    """
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            raise TypeError(f"the control plane has no place for {route.path}, which is no HTTP route")
        # The framework answers OPTIONS by itself, with no more than the methods that there are.
        handlers = [handler for handler in route.route_handlers if not _is_options(handler)]
        checked(handlers)
        if sum(bool(handler.sync_to_thread) for handler in handlers) > 1:
            raise TypeError(f"two functions that run in threads share the path {route.path}")
    return app


def _is_options(handler: BaseRouteHandler) -> bool:
    return isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}


def guard_rights(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse who lacks the route's right; what the framework says about OPTIONS is for everybody."""
    if not _is_options(handler):
        require(principal_of(connection), handler.opt[_RIGHT])


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
