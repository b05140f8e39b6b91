"""A change is answered when every gateway worker follows it, so that whoever made it meets the new route everywhere.

Workers look for newer routes several times a second and load what they need. They write down what they follow, and
whoever changed a route waits here for them, for a few seconds at most: nothing of this is in a request's way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

from litestar import Response

from tsavo.console.parts import ConsoleParts
from tsavo.endpoints.laggards import Laggard, laggards
from tsavo.registry import newest_revision

__all__ = ["NOT_FOLLOWING", "settled", "wait_for_gateways"]

_Handler = TypeVar("_Handler", bound=Callable[..., Any])

NOT_FOLLOWING: Final = "X-Tsavo-Not-Following"
"""Header of an answer that came before some worker followed the change: which, and why."""

_MOST_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.01


def settled(function: _Handler) -> _Handler:
    """A function of a control route that answers when every gateway worker follows what it changed."""

    @wraps(function)
    def settling(*, parts: ConsoleParts, **given: Any) -> Any:
        made = function(parts=parts, **given)
        late = wait_for_gateways(parts, getattr(made, "revision", None))
        if not late or isinstance(made, Response):
            # A form's answer leads to a page, and every page says what is wrong.
            return made
        return Response(made, headers={NOT_FOLLOWING: "; ".join(map(str, late))})

    return settling  # type: ignore[return-value]


def wait_for_gateways(
    parts: ConsoleParts, revision: int | None = None, *, seconds: float = _MOST_SECONDS
) -> list[Laggard]:
    """Wait until every living gateway worker follows a revision; the workers that do not after so many seconds.

    A worker that has said nothing for long is not waited for: it is told of at once.

    Parameters
    ----------
    revision
        By default that of the newest change.
    """
    if revision is None:
        with parts.plane.database.read() as connection:
            revision = newest_revision(connection)
    deadline = time.monotonic() + seconds
    while late := laggards(parts.home.statistics, revision, time.time_ns()):
        if time.monotonic() >= deadline or all(one.why == "silent" for one in late):
            break
        time.sleep(_LOOK_SECONDS)
    return late
