"""Inside the worker: the original of a version, to be asked again."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from tsavo.runtimes.jobs import AskedVersion

if TYPE_CHECKING:
    from tsavo.formats.originals import Original

__all__ = ["original_of"]


def original_of(item: AskedVersion, remote: int | None, scratch: Path) -> Original:
    """The model, where another process holds it (descriptor `remote`), or read here, with its parts in `scratch`."""
    if remote is not None:
        from tsavo.runtimes.python_worker.original import RemoteOriginal

        return RemoteOriginal(socket.socket(fileno=remote))
    from tsavo.formats.opening import open_source, original_in

    opened = open_source(item.model, item.format, scratch, trusted=item.trusted, hints=item.hints)
    return original_in(opened, trusted=item.trusted)
