"""What was let go of leaves the bytes of a journal too, with its writer at work and without."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tsavo.journal import Journal, JournalWriter, scrub

SECRET = b"wilhelmina quarrington"


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))  # type: ignore[arg-type] # a coroutine, as every test here is

    return run


def content(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize("living", [True, False], ids=["writer", "no-writer"])
@on_a_loop
async def test_released_records_are_in_no_byte_of_the_file(tmp_path: Path, living: bool) -> None:
    path = tmp_path / "gateway-0.db"
    writer = JournalWriter(path)
    writer.start(asyncio.get_running_loop())
    for number in range(300):
        await writer.append(SECRET + bytes(5_000) if number < 200 else b"kept %d" % number)
    if not living:
        await asyncio.to_thread(writer.close)
    with Journal(path) as journal:
        journal.trim(journal.journal_id, 200)
    assert SECRET in content(path)
    assert await asyncio.to_thread(scrub, path)
    assert SECRET not in content(path)
    with Journal(path) as journal:
        rows = journal.read(0).rows
    assert [(seq, bytes(payload)) for seq, payload in rows] == [
        (n + 1, b"kept %d" % n) for n in range(200, 300)
    ]
    if living:
        # It goes on as if nothing had happened.
        await writer.append(b"later")
        await asyncio.to_thread(writer.close)
        with Journal(path) as journal:
            assert journal.size().last == 301
