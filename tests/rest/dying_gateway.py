"""Started by tests: a gateway that is killed at the moment at which a decision is on disk and its answer is not sent.

Usage: dying_gateway.py FOLDER PORT
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import uvicorn

from tests.endpoints.test_serving import ONE
from tests.rest.scoring_world import ScoringWorld, Weighs
from tests.rest.served import HTTP
from tsavo.endpoints.retries import Retries
from tsavo.journal import JournalWriter, KeptReplies, KeptReply, Reservations
from tsavo.rest import Gateway
from tsavo.storage import SystemClock


class Dies(JournalWriter):
    """Its process ends by SIGKILL before anybody can be told that a reply is on disk."""

    def append(
        self, payload: bytes, *more: bytes, reply: KeptReply | None = None
    ) -> asyncio.Future[str | None]:
        future = super().append(payload, *more, reply=reply)
        # Called before the task that waits for it goes on.
        future.add_done_callback(lambda _: os.kill(os.getpid(), signal.SIGKILL))
        return future


async def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    world = ScoringWorld(folder, {ONE: Weighs()})  # type: ignore[dict-item]
    world.journal.close()
    dying = Dies(folder / "gateway-0.db")
    dying.start(asyncio.get_running_loop())
    world.plane._journal = dying
    world.route()
    retries = Retries(
        KeptReplies(folder), Reservations(folder / "reserved"), SystemClock().nanoseconds, seconds=60
    )
    gateway = Gateway(world.plane, version="1", max_body=1 << 20, report=print, retries=retries)
    gateway.ready = True
    config = uvicorn.Config(gateway, http=HTTP, port=port, lifespan="off", ws="none", log_level="warning")
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
