"""Check that the model in this folder still answers as it did when it was registered: ``python check.py``.

Compares its answers to the golden rows with the stored ones, and with the original model's. Ends with 0 when they are
the same, or within the tolerance; with 1 when they are different.
"""

from __future__ import annotations

import json
import math
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    """Compare, and say what was found."""
    sys.path.insert(0, str(FOLDER / "code"))
    package = json.loads((FOLDER / "model.json").read_text("utf-8"))["package"]
    model = import_module(f"{package}.loading").Model(FOLDER)
    if not (FOLDER / "golden.json").exists():
        sys.stderr.write("check.py: this version was registered without golden rows\n")
        return 1
    golden = json.loads((FOLDER / "golden.json").read_text("utf-8"))
    answers = {name: values.tolist() for name, values in model.answers(golden["inputs"]).items()}
    tolerance = golden["tolerance"]
    good = True
    for side, said in (("prediction", "as stored at registration"), ("expected", "as the original model")):
        exact, off, worst = compared(golden[side], answers, tolerance)
        good = good and not off
        verdict = "different" if off else "same" if all(exact) else "within tolerance"
        figures = f"{len(exact) - sum(exact)} of {len(exact)} rows differ, by at most {worst:.3g}"
        sys.stdout.write(f"{verdict}: answers {said}" + ("\n" if verdict == "same" else f" ({figures})\n"))
        for row in off[:5]:
            told = {name: (number(golden[side][name][row]), answers[name][row]) for name in answers}
            sys.stdout.write(f"  row {row}: {told}\n")
    return 0 if good else 1


def compared(
    stored: dict[str, list[Any]], answers: dict[str, list[Any]], tolerance: float
) -> tuple[list[bool], list[int], float]:
    """For each row whether it is exactly the same; the rows beyond the tolerance; the greatest difference."""
    rows = len(next(iter(answers.values())))
    exact, off, worst = [True] * rows, set(), 0.0
    for name, found in answers.items():
        for row in range(rows):
            one, other = number(stored[name][row]), found[row]
            if one == other or (is_nan(one) and is_nan(other)):
                continue
            exact[row] = False
            if name == "label" and undecided(stored, row, tolerance):
                continue
            apart = difference(one, other)
            worst = max(worst, apart)
            if not (math.isfinite(apart) and apart <= tolerance + tolerance * abs(one)):
                off.add(row)
    return exact, sorted(off), worst


def difference(one: Any, other: Any) -> float:
    """How far two answers are apart; labels that differ are infinitely far apart."""
    if not (isinstance(one, float) and isinstance(other, float)) or is_nan(one) or is_nan(other):
        return math.inf
    return abs(one - other)


def undecided(stored: dict[str, list[Any]], row: int, tolerance: float) -> bool:
    """Whether the stored answer hangs between two labels, so that the last bit decides which one it is."""
    odds = [number(values[row]) for name, values in stored.items() if name.startswith("probabilities.")]
    if len(odds) > 1:
        best, second = sorted(odds)[-1:-3:-1]
        return bool(best - second <= 2 * tolerance)
    return "score" in stored and abs(number(stored["score"][row])) <= tolerance


def number(value: Any) -> Any:
    """A stored value; JSON has no words for numbers that are not finite."""
    return float(value["number"]) if isinstance(value, dict) else value


def is_nan(value: Any) -> bool:
    """Whether it is the number that stands for no number."""
    return isinstance(value, float) and math.isnan(value)


if __name__ == "__main__":
    sys.exit(main())
