"""The only room that touches the outside: files, object stores, the SQL engine, the clock, identifiers.

What comes in: paths and URLs from the settings, never from a request. What goes out: bytes by digest, database
connections, the time, fresh ids. It must never know what the bytes mean.
"""

from tsavo.storage.artifacts import ArtifactStore
from tsavo.storage.canonical import canonical
from tsavo.storage.clock import Clock, SystemClock, clock_source, from_nanoseconds
from tsavo.storage.database import Connection, Database, JsonText, UtcDateTime, metadata
from tsavo.storage.files import file_digest, sync_file_system, write_atomically
from tsavo.storage.home import Addresses, Home, HomeLock
from tsavo.storage.ids import IdSource, mark_of, name_mark
from tsavo.storage.turns import taking_turns
from tsavo.storage.whole_files import replaced_file

__all__ = [
    "Addresses",
    "ArtifactStore",
    "Clock",
    "Connection",
    "Database",
    "Home",
    "HomeLock",
    "IdSource",
    "JsonText",
    "SystemClock",
    "UtcDateTime",
    "canonical",
    "clock_source",
    "file_digest",
    "from_nanoseconds",
    "mark_of",
    "metadata",
    "name_mark",
    "replaced_file",
    "sync_file_system",
    "taking_turns",
    "write_atomically",
]
