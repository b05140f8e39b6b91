"""Cases of PyTorch: exported programs, TorchScript and a pickled module; none where PyTorch is not installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tests.matrix.case import Answers, Case
from tests.matrix.data import Rows

__all__ = ["CASES"]

_NAMES = np.array(["red", "green", "white"], dtype=object)


def _torch() -> Any:
    """By name: the types must check where PyTorch is not installed."""
    return import_module("torch")


def _trained(build: Callable[[Any, int], Any], *, value: bool) -> Callable[[Rows], Any]:
    """A module, a few steps down from where it began."""

    def make(rows: Rows) -> Any:
        torch = _torch()
        torch.manual_seed(0)
        inputs = torch.from_numpy(np.asarray(rows.inputs, np.float32))
        module = build(torch, inputs.shape[1])
        steps = torch.optim.Adam(module.parameters(), lr=0.01)
        target = torch.from_numpy(np.asarray(rows.target, np.float32 if value else np.int64))
        for _ in range(20):
            steps.zero_grad()
            answer = module(inputs)
            if value:
                loss = ((answer[:, 0] - target) ** 2).mean()
            else:
                loss = torch.nn.functional.nll_loss(torch.log(answer + 1e-9), target)
            loss.backward()
            steps.step()
        return module.eval()

    return make


def _asked(module: Any, inputs: Any) -> Any:
    torch = _torch()
    with torch.no_grad():
        return module(torch.from_numpy(np.asarray(inputs, np.float32))).numpy()


def _classes(module: Any, inputs: Any) -> Answers:
    shares = _asked(module, inputs)
    return {"label": _NAMES[shares.argmax(axis=1)], "probabilities": shares}


def _value(module: Any, inputs: Any) -> Answers:
    return {"value": _asked(module, inputs)[:, 0]}


def _exported(module: Any, folder: Path) -> Path:
    torch = _torch()
    rows = torch.export.Dim("rows")
    example = torch.zeros(3, next(module.parameters()).shape[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (example,), dynamic_shapes=({0: rows},))
        torch.export.save(program, folder / "model.pt2")
    return folder / "model.pt2"


def _scripted(module: Any, folder: Path) -> Path:
    torch = _torch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(folder / "model.pt"))
    return folder / "model.pt"


def _wide(torch: Any, columns: int) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.BatchNorm1d(columns), nn.Linear(columns, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(1)
    )


def _deep(torch: Any, columns: int) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(columns, 16), nn.GELU(), nn.LayerNorm(16), nn.Dropout(0.2), nn.Linear(16, 1)
    )


_NAMED = {"classes": _NAMES.tolist()}

CASES: tuple[Case, ...] = (
    Case(
        "PyTorch",
        "classifier, exported program (file)",
        "wine, array",
        _trained(_wide, value=False),
        _classes,
        save=_exported,
        trust=True,
        runtime="onnx",
        options=_NAMED,
    ),
    Case(
        "PyTorch",
        "regressor, exported program (file)",
        "diabetes, array",
        _trained(_deep, value=True),
        _value,
        save=_exported,
        trust=True,
        runtime="onnx",
    ),
    Case(
        "PyTorch",
        "classifier, TorchScript (file)",
        "wine, array",
        _trained(_wide, value=False),
        _classes,
        save=_scripted,
        trust=True,
        runtime="python",
        options=_NAMED,
    ),
)
if find_spec("torch") is None:
    CASES = ()
