"""The console as one application: API, pages, static files, guards, errors."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.static_files import create_static_files_router
from litestar.template.config import TemplateConfig

from tsavo.console.api import API_ROUTES
from tsavo.console.declaring import READ_ONLY, all_declared, guard_rights, principal_of
from tsavo.console.guarding import guard_browser
from tsavo.console.parts import ConsoleParts
from tsavo.console.problems import answer_error
from tsavo.console.rendering import environment
from tsavo.console.web import WEB_ROUTES
from tsavo.governance import Principal

__all__ = ["create_console"]

_HERE: Final = Path(__file__).parent
_MOST_BYTES: Final = 10 * 1024 * 1024
_THREADS: Final = 32


def create_console(parts: ConsoleParts) -> Litestar:
    """The ASGI application of the control plane."""
    from importlib.metadata import version

    static = create_static_files_router(
        path="/static",
        directories=[_HERE / "static"],
        opt=READ_ONLY,
        include_in_schema=False,
        cache_control=None,
    )
    app = Litestar(
        route_handlers=[*API_ROUTES, *WEB_ROUTES, static],
        state=State({"parts": parts}),
        dependencies={
            "parts": Provide(lambda: parts, sync_to_thread=False),
            "who": Provide(_who, sync_to_thread=False),
        },
        guards=[guard_rights],
        middleware=[guard_browser],
        exception_handlers={Exception: answer_error},
        request_max_body_size=_MOST_BYTES,
        template_config=TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment())),
        openapi_config=OpenAPIConfig(
            title="Tsavo control API",
            version=version("tsavo"),
            openapi_router=Router("/api/openapi", route_handlers=[], opt=READ_ONLY, include_in_schema=False),
            render_plugins=[JsonRenderPlugin(path="/json")],
        ),
        logging_config=None,
        lifespan=[lambda _app: _threads(), lambda _app: _spool_in(parts.plane.work)],
    )
    return all_declared(app)


@asynccontextmanager
async def _threads() -> AsyncIterator[None]:
    """More threads than the event loop's own few, so that slow queries leave some for everything else."""
    with ThreadPoolExecutor(_THREADS, "console") as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        yield


@asynccontextmanager
async def _spool_in(folder: Path) -> AsyncIterator[None]:
    """Large uploads are kept in the home while they come in: the system's temporary folder may be memory."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _who(request: Request[Any, Any, Any]) -> Principal:
    return principal_of(request)
