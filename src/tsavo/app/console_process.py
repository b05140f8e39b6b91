"""The control plane as a process: the API and the pages."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path

import uvloop

from tsavo.app.addresses import url_of
from tsavo.app.child import Child, run_child, serve
from tsavo.app.journals import open_journal
from tsavo.app.parts import build_parts
from tsavo.console import ConsoleParts, create_console
from tsavo.monitors import findings_of
from tsavo.runtimes import FORK_SERVER

__all__ = ["main"]


def main() -> None:
    """Entry of ``python -m tsavo.app.console_process``."""
    run_child(lambda child: uvloop.run(_serve(child)))


async def _serve(child: Child) -> None:
    parts = build_parts(child.home, child.settings)
    addresses = _addresses(child)
    journal = open_journal(child.home, child.settings, "console", parts.clock.nanoseconds)
    journal.start(asyncio.get_running_loop())
    console = create_console(
        ConsoleParts(
            plane=parts.control,
            lake=parts.lake,
            findings=lambda endpoint: findings_of(parts.database, endpoint),
            outcomes=journal,
            gateway_url=addresses[0],
            console_url=addresses[1],
            home=child.home,
            owner=getpass.getuser(),
            started=parts.clock.now(),
            retention=child.settings.lake.retention,
            exports=Path(exports) if (exports := child.settings.storage.exports) else None,
        )
    )
    # They have imports to do, which the first registration and the first query then need not wait for.
    FORK_SERVER.warm()
    parts.lake.warm()
    try:
        await serve(console, child)
    finally:
        await asyncio.get_running_loop().run_in_executor(None, FORK_SERVER.close)
        await asyncio.get_running_loop().run_in_executor(None, journal.close)
        parts.database.close()


def _addresses(child: Child) -> tuple[str, str]:
    settings = child.settings
    return (
        url_of(settings.gateway.host, settings.gateway.port),
        url_of(settings.console.host, settings.console.port),
    )


if __name__ == "__main__":
    main()
