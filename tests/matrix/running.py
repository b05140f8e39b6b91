"""One case through everything: registered, verified, deployed, and scored over HTTP against a running Tsavo."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tsavo
from tests.matrix.case import Case, Fitted
from tsavo.vocabulary import TsavoError, Version

__all__ = ["TOLERANCE", "Line", "run_all"]

TOLERANCE = 1e-5
_AT_ONCE = 4


@dataclass(frozen=True)
class Line:
    """What came of a case.

    `seconds` is from the file to the live endpoint; `apart` the greatest difference to what the library itself
    answers; `wrong` says what is not as it should be, and is empty when all is well.
    """

    case: Case
    version: Version | None = None
    seconds: float = 0.0
    apart: float = 0.0
    wrong: str = ""

    @property
    def runtime(self) -> str:
        """Which runtime answers."""
        return "" if self.version is None else self.version.runtime


def run_all(client: tsavo.Client, cases: Sequence[Case], prefix: str = "case") -> Iterator[Line]:
    """Run the cases, a few at once, as models whose names begin with `prefix`; give their lines in order."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        places = [Path(folder) / f"{prefix}-{at}" for at in range(len(cases))]
        for place in places:
            place.mkdir()
        yield from pool.map(lambda pair: _run(client, *pair), zip(cases, places, strict=True))


def _run(client: tsavo.Client, case: Case, folder: Path) -> Line:
    name = folder.name
    fitted = case.fit(folder)
    started = time.perf_counter()
    version: Version | None = None
    try:
        registered = client.register(
            fitted.source,
            name=name,
            reference=_table(fitted.reference),
            target="target",
            trust=case.trust,
            **case.options,
        )
        version = registered.version
        endpoint = client.deploy(registered)
        seconds = time.perf_counter() - started
        scores = endpoint.score(fitted.asked.frame)
    except TsavoError as error:
        return Line(case, version, wrong=str(error))
    apart, wrong = _compared(fitted, scores.outputs)
    if case.runtime is not None and version.runtime != case.runtime:
        wrong = wrong or f"runs in {version.runtime} ({version.reason}), not in {case.runtime}"
    if version.runtime == "python" and not version.reason:
        wrong = wrong or "no reason is given why it is not compiled"
    return Line(case, version, seconds, apart, wrong)


def _table(rows: Any) -> pd.DataFrame:
    target = rows.target if rows.target.ndim == 1 else rows.target[:, 0]
    return rows.frame.assign(target=target)


def _compared(fitted: Fitted, outputs: dict[str, Any]) -> tuple[float, str]:
    """The greatest difference, and the outputs that differ."""
    worst, wrong = 0.0, []
    if set(outputs) != set(fitted.expected):
        wrong.append(f"outputs {sorted(outputs)} instead of {sorted(fitted.expected)}")
    for name, expected in fitted.expected.items():
        if name not in outputs:
            continue
        given = np.asarray(outputs[name])
        if given.shape != np.shape(expected):
            wrong.append(f"{name} of shape {given.shape} instead of {np.shape(expected)}")
        elif name == "label":
            differs = np.asarray(given, dtype=object) != np.asarray(expected, dtype=object)
            if differs.any():
                wrong.append(f"{int(differs.sum())} other labels")
        else:
            apart = np.abs(given.astype(float) - np.asarray(expected, float))
            worst = max(worst, float(apart.max()))
            if not (apart <= TOLERANCE + TOLERANCE * np.abs(expected)).all():
                wrong.append(f"{name} {apart.max():.2g} apart")
    return worst, "; ".join(wrong)
