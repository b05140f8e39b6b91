"""Which version answers a key, when challengers answer a share of the traffic: a pure function of seed and key.

A keyed hash (BLAKE2b, RFC 7693, with the seed as its key) takes each key to a number in [0, 1) that nobody can tell
from a random one without the seed; challengers own parts of that interval as long as their shares are. Nothing is
remembered, so every worker on every machine decides the same, and a recorded decision can be checked years later.

The parts grow from both ends of the interval, in turns: the first challenger's from 0 upwards, the second's from 1
downwards, the third's behind the first's. So with one or two challengers a change of one share moves keys between that
challenger and the champion only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["assign", "assign_many", "key_of"]

_SEED_BITS: Final = (1 << 64) - 1
# A float holds 53 bits exactly; more would round the largest hashes up to 1.
_UNUSED_BITS: Final = 11
_STEP: Final = 2.0**-53


def assign(seed: int, key: str | bytes, shares: Sequence[float]) -> int:
    """Who answers `key`: -1 for the champion, else the place of a challenger in `shares`.

    Parameters
    ----------
    seed
        Of the endpoint; its lowest 64 bits count.
    key
        Text counts as its UTF-8 bytes.
    shares
        Of each challenger, from 0 to 1 and together at most 1; the champion has the rest.

    Notes
    -----
    Over keys, challenger i is chosen with probability ``shares[i]``, to within 2**-53. Enlarging a share takes no key
    away from that challenger.

    >>> assign(7, "customer-1", [0.0]), assign(7, "customer-1", [1.0])
    (-1, 0)
    """
    place = _place(_hasher(seed), key)
    low, high = 0.0, 1.0
    for at, share in enumerate(shares):
        if at % 2 == 0:
            low += share
            if place < low:
                return at
        else:
            high -= share
            if place >= high:
                return at
    return -1


def assign_many(seed: int, values: npt.NDArray[Any], shares: Sequence[float]) -> npt.NDArray[np.intp]:
    """Who answers each of `values` [n], as `assign` says of `key_of` each value; returns [n].

    Parameters
    ----------
    values
        A column of a batch: numbers, booleans, or an object array of `str` and ``None``.
    """
    keyed = _hasher(seed)
    known: dict[Any, float] = {}
    places = np.empty(len(values), dtype=np.float64)
    for at, value in enumerate(values.tolist()):
        place = known.get(value)
        if place is None:
            place = known[value] = _place(keyed.copy(), key_of(value))
        places[at] = place
    chosen = np.full(len(values), -1, dtype=np.intp)
    low, high = 0.0, 1.0
    for at, share in enumerate(shares):
        if at % 2 == 0:
            low += share
            inside = places < low
        else:
            high -= share
            inside = places >= high
        chosen[inside & (chosen < 0)] = at
    return chosen


def key_of(value: str | float | None) -> str:
    """The key that a value of a column stands for.

    Whole numbers are their decimal digits, whatever type the column has, so that ``42``, ``42.0`` and ``"42"`` are one
    key. A missing value is the empty text, as no key at all is.

    >>> key_of(42.0), key_of(True), key_of(None), key_of(0.5)
    ('42', 'true', '', '0.5')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not value.is_integer():
        return "" if math.isnan(value) else repr(value)
    return str(int(value))


def _hasher(seed: int) -> blake2b:
    return blake2b(digest_size=8, key=(seed & _SEED_BITS).to_bytes(8, "little"))


def _place(hasher: blake2b, key: str | bytes) -> float:
    """Where in [0, 1) a key lies."""
    # Lone surrogates can come out of JSON; they are text like any other here.
    hasher.update(key.encode(errors="surrogatepass") if isinstance(key, str) else key)
    return (int.from_bytes(hasher.digest(), "little") >> _UNUSED_BITS) * _STEP
