"""Single random changes of lake, log and registry, each of which the independent verifier must find, naming the place.

python -m benchmarks.tampering [--changes 10000] [--seed 1]
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from random import Random

from tests.ledger.homes import build_home, load_verifier
from tests.ledger.tampering import KINDS, PARTS, Tamperer

_MEANT = (ValueError, OSError, sqlite3.Error, KeyError, TypeError)


def main() -> int:
    """Print how many changes of each kind were made, found, and named by their place; 1 when one was not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    verifier = load_verifier()
    # A signature that was checked once need not be checked again: the verdict depends on its arguments alone.
    verifier.is_signed = lru_cache(maxsize=None)(verifier.is_signed)  # type: ignore[attr-defined]
    random = Random(asked.seed)
    made: Counter[tuple[str, str]] = Counter()
    missed: list[str] = []
    unnamed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tsavo-tampering-") as folder:
        logged = build_home(Path(folder, "home"))
        home, key = logged.home.root, logged.key
        anchors = logged.anchor.read_bytes().splitlines(keepends=True)
        print(f"untouched: {verifier.verify(home, key, anchors)}")
        tamperer = Tamperer(home, home.with_name("home-old"), random)
        started = time.perf_counter()
        for number in range(asked.changes):
            part, kind = PARTS[number % len(PARTS)], KINDS[number // len(PARTS) % len(KINDS)]
            change = tamperer.change(part, kind)
            try:
                verifier.verify(home, key, anchors)
            except _MEANT as error:
                named = f"{': '.join(map(str, error.args))} {getattr(error, 'filename', '')}"
                if not any(place in named for place in change.places):
                    unnamed.append(f"{change}: {named}")
            else:
                missed.append(str(change))
            finally:
                tamperer.undo()
            made[part, kind] += 1
        seconds = time.perf_counter() - started
        print(f"put back:  {verifier.verify(home, key, anchors)}")
    print(f"{'':10}" + "".join(f"{kind:>10}" for kind in KINDS))
    for part in PARTS:
        print(f"{part:10}" + "".join(f"{made[part, kind]:>10,}" for kind in KINDS))
    found = asked.changes - len(missed)
    print(
        f"{found:,} of {asked.changes:,} found, {found - len(unnamed):,} named by their place ({seconds:.0f} s)"
    )
    for line in [*missed[:10], *unnamed[:10]]:
        print(line)
    return 1 if missed or unnamed else 0


if __name__ == "__main__":
    sys.exit(main())
