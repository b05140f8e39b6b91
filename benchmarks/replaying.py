"""Replays of decisions of many kinds of models, in batches of 1 to 1,000 rows, before and after an upgrade.

    python benchmarks/replaying.py [--decisions 10000] [--upgrade rich]

Ten kinds of models are registered and scored over HTTP; then all their decisions are replayed in fresh processes. A
library that has nothing to do with them is put in another version in front of the installed one, Tsavo is started anew
and everything is replayed once more. How quickly the models themselves predict the same batches, in this process and
without reading anything or comparing, is printed beside it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tsavo

FEATURES = 8
HEAD = "model        runtime   requests  decisions  the same     per s  alone per s"
SIZES = (1, 1, 1, 2, 3, 7, 16, 33, 100, 250, 1000)


def models(rows: pd.DataFrame, target: Any) -> dict[str, Any]:
    """Fitted models of ten kinds, two of which do not compile."""
    from catboost import CatBoostClassifier
    from lightgbm import LGBMRegressor
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from xgboost import XGBClassifier

    classes = target > 0
    return {
        "logistic": LogisticRegression().fit(rows, classes),
        "ridge": Ridge().fit(rows, target),
        "forest": RandomForestClassifier(50).fit(rows, classes),
        "boosting": GradientBoostingRegressor().fit(rows, target),
        "network": MLPClassifier((32,), early_stopping=True).fit(rows, classes),
        "process": GaussianProcessRegressor(alpha=1.0).fit(rows[:200], target[:200]),
        "neighbours": KNeighborsClassifier().fit(rows, classes),
        "xgboost": XGBClassifier(n_estimators=50).fit(rows, classes),
        "lightgbm": LGBMRegressor(n_estimators=50, verbose=-1).fit(rows, target),
        "catboost": CatBoostClassifier(50, verbose=False, allow_writing_files=False).fit(rows, classes),
    }


def main() -> None:
    """Run it, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--upgrade", default="rich", help="a library that no model uses")
    asked = parser.parse_args()
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(2_000, FEATURES)), columns=[f"f{at}" for at in range(FEATURES)])
    target = (rows.to_numpy() @ random.normal(size=FEATURES) + random.normal(size=len(rows))).ravel()
    fitted = models(rows, target)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        start(home, {})
        with tsavo.connect(home=home) as client:
            batches = {}
            for name, model in fitted.items():
                endpoint = client.deploy(client.register(model, name=name, reference=rows[:200], trust=True))
                batches[name] = score(endpoint, rows, asked.decisions // len(fitted) + 1, random)
            print(HEAD)
            all_same(client, fitted, batches)
        stop(home)
        beside = Path(folder) / "beside"
        version = other_version(asked.upgrade, beside)
        start(home, {"PYTHONPATH": str(beside)})
        with tsavo.connect(home=home) as client:
            print(
                f"\nafter {asked.upgrade} went from {importlib.metadata.version(asked.upgrade)} to {version}:"
            )
            all_same(client, fitted, batches)
        stop(home)


def score(endpoint: Any, rows: pd.DataFrame, decisions: int, random: Any) -> list[pd.DataFrame]:
    """Batches of all sizes until there are enough decisions."""
    batches: list[pd.DataFrame] = []
    while sum(map(len, batches)) < decisions:
        size = int(random.choice(SIZES))
        batches.append(rows.iloc[random.integers(0, len(rows), size)].reset_index(drop=True))
        endpoint.score(batches[-1])
    return batches


def all_same(client: tsavo.Client, fitted: dict[str, Any], batches: dict[str, list[pd.DataFrame]]) -> None:
    """Replay everything, and say how it went."""
    total = same = 0
    for name, model in fitted.items():
        counts: dict[str, int] = {}
        began = time.perf_counter()
        for page in client.replay_all(name):
            for verdict, found in page.counts.items():
                counts[verdict] = counts.get(verdict, 0) + found
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        predict = getattr(model, "predict_proba", model.predict)
        for batch in batches[name]:
            predict(batch)
        alone = time.perf_counter() - began
        decisions = sum(counts.values())
        total, same = total + decisions, same + counts.get("same", 0)
        runtime = client.version(f"{name}@1").runtime
        print(
            f"{name:<12} {runtime:<8} {len(batches[name]):>9,} {decisions:>10,} {counts.get('same', 0):>9,}"
            f" {decisions / seconds:>9,.0f} {decisions / alone:>12,.0f}"
        )
        if decisions != sum(map(len, batches[name])):
            raise SystemExit(f"{name}: {sum(map(len, batches[name]))} decisions were made")
    print(f"{same:,} of {total:,} decisions are the same to the last bit")
    if same != total:
        raise SystemExit(1)


def other_version(library: str, folder: Path) -> str:
    """Install another version of a library into `folder`; return which."""
    wanted = f"{library}!={importlib.metadata.version(library)}"
    words = [
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        sys.executable,
        "--target",
        str(folder),
        wanted,
    ]
    subprocess.run([sys.executable, *words], check=True)
    (found,) = [one for one in importlib.metadata.distributions(path=[str(folder)]) if one.name == library]
    return found.version


def start(home: Path, more: dict[str, str]) -> None:
    """Start Tsavo on free ports."""
    words = ["up", "--detach", "--port", "0", "--grpc-port", "-1", "--console-port", "0", "--home", str(home)]
    run(*words, environment={**os.environ, **more})


def stop(home: Path) -> None:
    """Stop it."""
    run("down", "--home", str(home))


def run(*words: str, environment: dict[str, str] | None = None) -> None:
    """Run a command of Tsavo's; end where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "tsavo", *words],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise SystemExit(done.stderr)


if __name__ == "__main__":
    main()
