"""JSON in one form only, for what is hashed."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["canonical"]


def canonical(value: Any) -> bytes:
    """JSON in one form only: keys in order, no spaces, UTF-8.

    >>> canonical({"b": [1, None], "a": "ü"}).decode()
    '{"a":"ü","b":[1,null]}'
    """
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
