"""The only room that touches the outside: files, object stores, the SQL engine, the clock, identifiers.

What comes in: paths and URLs from the settings, never from a request. What goes out: bytes by digest, database
connections, the time, fresh ids. It must never know what the bytes mean.
"""

from tsavo.storage.artifacts import ArtifactStore
from tsavo.storage.clock import Clock, SystemClock, from_nanoseconds
from tsavo.storage.database import Connection, Database, JsonText, UtcDateTime, metadata
from tsavo.storage.files import file_digest, write_atomically
from tsavo.storage.home import Addresses, Home, HomeLock
from tsavo.storage.ids import IdSource

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
    "file_digest",
    "from_nanoseconds",
    "metadata",
    "write_atomically",
]
