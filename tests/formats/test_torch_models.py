from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsavo.formats.opening import open_original, original_of
from tsavo.formats.originals import CannotCompile
from tsavo.formats.sniffing import sniff_file
from tsavo.formats.torch_models import TorchOriginal, open_model
from tsavo.vocabulary import Field, Hints, Invalid, Refused, Unreadable, Untrusted

from .boosted import agree, columns_of, fields_of

pytest.importorskip(
    "torch", reason="PyTorch is no requirement of Tsavo: install it to test what reads its models"
)
# By name at run time: the types must check where PyTorch is not installed.
torch: Any = import_module("torch")
nn: Any = torch.nn
functional: Any = torch.nn.functional

ROWS = np.random.default_rng(0).normal(size=(40, 4))
THREE = Hints(classes=("low", "middle", "high"))


def _module(answer: Callable[..., Any], **parts: Any) -> Any:
    """A module with some layers that answers by a function of itself and its input, in evaluation mode."""
    torch.manual_seed(0)
    made = type("Module", (nn.Module,), {"forward": answer})()
    for name, part in parts.items():
        setattr(made, name, part)
    return made.eval()


def _exported(module: Any, *examples: Any, least: int = 0, most: int | None = None) -> Any:
    rows = torch.export.Dim("rows", min=least, max=most)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module, examples, dynamic_shapes=tuple({0: rows} for _ in examples))


def _saved(program: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)
    return path


def _read(path: Path, hints: Hints | None = None) -> TorchOriginal:
    return open_model(path, "torch-export", hints or Hints())


def _trained() -> Any:
    """Layers whose normalization has seen rows, so that its figures are not zero and one."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Linear(4, 6),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.LayerNorm(6),
        nn.Linear(6, 3),
        nn.Softmax(1),
    )
    layers.train()(torch.from_numpy(ROWS).float())
    return layers.eval()


def test_an_exported_program_answers_as_the_module(tmp_path: Path) -> None:
    module = _trained()
    path = _saved(_exported(module, torch.zeros(3, 4)), tmp_path / "model.pt2")
    assert sniff_file(path) == "torch-export"
    original = _read(path, THREE)
    assert (original.task, original.columns) == ("multiclass", 4)
    fields = fields_of(original)
    expected = module(torch.from_numpy(ROWS).float()).detach().numpy()
    answers = agree(original, fields, columns_of(fields, ROWS), tmp_path, tolerance=2e-6)
    np.testing.assert_allclose(answers["probabilities"], expected, rtol=1e-5, atol=1e-6)
    assert answers["label"].tolist() == [("low", "middle", "high")[at] for at in expected.argmax(1)]


FORMULAS: dict[str, Callable[[Any, Any], Any]] = {
    "sigmoid": lambda _, x: torch.sigmoid(x[:, 0]),
    "tanh": lambda _, x: torch.tanh(x),
    "gelu": lambda _, x: functional.gelu(x),
    "gelu by tanh": lambda _, x: functional.gelu(x, approximate="tanh"),
    "log_softmax": lambda _, x: torch.log_softmax(x, -1),
    "leaky_relu": lambda _, x: functional.leaky_relu(x, 0.2),
    "elu": lambda _, x: functional.elu(x, 0.7),
    "selu": lambda _, x: functional.selu(x),
    "silu": lambda _, x: functional.silu(x),
    "arithmetic": lambda _, x: (x[:, :1] * 3 - x[:, 1:2] / 2 + 1) / (x[:, 2:3] ** 2 + 1),
    "from a number": lambda _, x: 1 - x + 2 / (x * x + 1),
    "logarithm": lambda _, x: torch.log(torch.sqrt(torch.exp(-x) + 1)),
    "clamp": lambda _, x: x.clamp(-0.5, 0.5) + x.clamp(min=0) + functional.relu6(x),
    "cat": lambda _, x: torch.cat([x[:, 2:], -x], dim=1),
    "shapes": lambda _, x: x.view(-1, 2, 2).permute(0, 2, 1).flatten(1).unsqueeze(1).squeeze(1),
    "reshape": lambda _, x: x.reshape(x.shape[0], 2, 2).sum(2),
    "mean": lambda _, x: x.mean(1, keepdim=True) + x.sum(1, keepdim=True) + x.mean(-1)[:, None],
    "select": lambda _, x: x[:, -1] - x[:, 1],
    "every second": lambda _, x: x[:, ::2],
    "where": lambda _, x: torch.where(x > 0, x, x * 0.1),
    "matmul": lambda m, x: x @ m.first.weight.T,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_an_operator_computes_as_pytorch_does(name: str, tmp_path: Path) -> None:
    module = _module(FORMULAS[name], first=nn.Linear(4, 5))
    original = _read(_saved(_exported(module, torch.randn(3, 4)), tmp_path / "model.pt2"))
    fields = fields_of(original)
    answers = agree(original, fields, columns_of(fields, ROWS), tmp_path, tolerance=5e-6)
    expected = module(torch.from_numpy(ROWS).float()).detach().numpy()
    (given,) = answers.values()
    np.testing.assert_allclose(given.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def test_a_layer_normalization_beyond_float32_answers_nothing(tmp_path: Path) -> None:
    module = _module(lambda m, x: m.first(x)[:, 0], first=nn.LayerNorm(4))
    original = _read(_saved(_exported(module, torch.zeros(3, 4)), tmp_path / "model.pt2"))
    fields = fields_of(original)
    rows = np.concatenate([ROWS[:2], ROWS[:2] * 1e37])
    answers = agree(original, fields, columns_of(fields, rows), tmp_path, tolerance=5e-6)
    assert np.isnan(answers["value"]).tolist() == [False, False, True, True]


def test_several_inputs_and_an_embedding(tmp_path: Path) -> None:
    module = _module(
        lambda m, x, kind: m.last(torch.cat([x, m.words(kind)], 1)),
        words=nn.Embedding(5, 2),
        last=nn.Linear(5, 1),
    )
    program = _exported(module, torch.zeros(3, 3), torch.zeros(3, dtype=torch.int64))
    path = _saved(program, tmp_path / "model.pt2")
    original = _read(path, Hints(names=("a", "b", "c", "kind")))
    assert original.task == "regression"
    assert original.declared is not None
    assert [field.dtype for field in original.declared] == ["float64", "float64", "float64", "int64"]
    columns = {**columns_of(original.declared[:3], ROWS), "kind": np.arange(40) % 5}
    answers = agree(original, original.declared, columns, tmp_path, tolerance=2e-6)
    assert list(answers) == ["value"]
    assert not original.accepts(original.declared, {**columns, "kind": np.full(40, 5)})
    fractions = {**columns, "kind": np.full(40, 1.5)}
    assert not original.accepts(original.declared, fractions)
    as_float = tuple(Field(field.name, "float64") for field in original.declared)
    with pytest.raises(CannotCompile, match="whole numbers"):
        original.compile(as_float, float32=False)


def test_a_binary_probability_a_row(tmp_path: Path) -> None:
    module = _module(lambda m, x: torch.sigmoid(m.last(x)), last=nn.Linear(4, 1))
    path = _saved(_exported(module, torch.zeros(3, 4)), tmp_path / "model.pt2")
    original = _read(path, Hints(task="binary", classes=("stay", "leave")))
    fields = fields_of(original)
    answers = agree(original, fields, columns_of(fields, ROWS), tmp_path, tolerance=2e-6)
    expected = module(torch.from_numpy(ROWS).float()).detach().numpy()[:, 0]
    np.testing.assert_allclose(answers["probabilities"][:, 1], expected, rtol=1e-6)


def test_scores_are_not_taken_for_probabilities(tmp_path: Path) -> None:
    path = _saved(_exported(nn.Linear(4, 3).eval(), torch.zeros(3, 4)), tmp_path / "model.pt2")
    original = _read(path, THREE)
    fields = fields_of(original)
    with pytest.raises(Invalid, match="softmax"):
        original.predict(fields, columns_of(fields, ROWS))
    generic = _read(path)
    assert generic.task == "generic"
    assert generic.predict(fields, columns_of(fields, ROWS))["output_0"].shape == (40, 3)


def test_outputs_keep_their_own_names(tmp_path: Path) -> None:
    module = _module(lambda m, x: {"price": m.last(x), "days": x[:, 0]}, last=nn.Linear(4, 2))
    original = _read(_saved(_exported(module, torch.zeros(3, 4)), tmp_path / "model.pt2"))
    fields = fields_of(original)
    answers = agree(original, fields, columns_of(fields, ROWS), tmp_path, tolerance=2e-6)
    assert {name: values.shape for name, values in answers.items()} == {"price": (40, 2), "days": (40,)}


def test_a_fixed_number_of_rows_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(nn.Linear(4, 1), (torch.zeros(3, 4),))
    with pytest.raises(Refused, match="dynamic_shapes"):
        _read(_saved(program, tmp_path / "model.pt2"))


def test_training_mode_is_refused(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5)).train()
    with pytest.raises(Refused, match="eval"):
        _read(_saved(_exported(module, torch.zeros(3, 4)), tmp_path / "model.pt2"))


def test_bounds_on_the_rows_are_kept(tmp_path: Path) -> None:
    program = _exported(nn.Linear(4, 2).eval(), torch.zeros(6, 4), least=4, most=16)
    original = _read(_saved(program, tmp_path / "model.pt2"))
    fields = fields_of(original)
    alone = original.predict(fields, columns_of(fields, ROWS[:1]))["output_0"]
    many = original.predict(fields, columns_of(fields, ROWS))["output_0"]
    assert many.shape == (40, 2)
    np.testing.assert_allclose(alone, many[:1], rtol=1e-6)


def test_a_missing_value_is_refused_unless_the_model_fills_it(tmp_path: Path) -> None:
    for answer, takes in ((lambda _, x: x.sum(1), False), (lambda _, x: torch.nan_to_num(x).sum(1), True)):
        original = _read(_saved(_exported(_module(answer), torch.zeros(3, 4)), tmp_path / "model.pt2"))
        fields = fields_of(original)
        columns = columns_of(fields, ROWS)
        columns["x0"] = np.where(np.arange(40) == 7, np.nan, columns["x0"])
        assert original.accepts(fields, columns) is takes


def test_an_operator_without_a_form_is_named(tmp_path: Path) -> None:
    module = _module(lambda _, x: torch.cumsum(x, 1))
    original = _read(_saved(_exported(module, torch.zeros(3, 4)), tmp_path / "model.pt2"))
    with pytest.raises(CannotCompile, match=r"aten\.cumsum"):
        original.compile(fields_of(original), float32=False)


def test_an_answer_over_several_rows_is_not_compiled(tmp_path: Path) -> None:
    module = _module(lambda _, x: torch.softmax(x, 0))
    original = _read(_saved(_exported(module, torch.zeros(3, 4)), tmp_path / "model.pt2"))
    with pytest.raises(CannotCompile, match="over the rows"):
        original.compile(fields_of(original), float32=False)


def test_torchscript_runs_and_says_why_it_is_not_compiled(tmp_path: Path) -> None:
    module = _trained()
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), str(path))
    assert sniff_file(path) == "torchscript"
    with pytest.raises(Untrusted):
        open_original(path, "torchscript", trusted=False, hints=THREE)
    original = open_original(
        path, "torchscript", trusted=True, hints=Hints(classes=THREE.classes, names=tuple("abcd"))
    )
    fields = fields_of(original)
    answers = original.predict(fields, columns_of(fields, ROWS))
    expected = module(torch.from_numpy(ROWS).float()).detach().numpy()
    np.testing.assert_allclose(answers["probabilities"], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(CannotCompile, match=r"torch\.export"):
        original.compile(fields, float32=False)


def test_a_module_from_a_pickle_is_exported_and_compiled(tmp_path: Path) -> None:
    module = pickle.loads(pickle.dumps(_trained().train()))
    original = original_of(module, THREE)
    assert original.columns == 4
    fields = fields_of(original)
    agree(original, fields, columns_of(fields, ROWS), tmp_path, tolerance=2e-6)


def test_an_exported_program_needs_trust(tmp_path: Path) -> None:
    path = _saved(_exported(nn.Linear(4, 1).eval(), torch.zeros(3, 4)), tmp_path / "model.pt2")
    with pytest.raises(Untrusted):
        open_original(path, "torch-export", trusted=False, hints=Hints())


def test_a_cut_file_is_unreadable(tmp_path: Path) -> None:
    path = _saved(_exported(nn.Linear(4, 1).eval(), torch.zeros(3, 4)), tmp_path / "model.pt2")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(Unreadable):
        _read(path)


def test_another_number_of_names_is_refused(tmp_path: Path) -> None:
    path = _saved(_exported(nn.Linear(4, 1).eval(), torch.zeros(3, 4)), tmp_path / "model.pt2")
    with pytest.raises(Invalid, match="names"):
        _read(path, Hints(names=("a", "b")))
