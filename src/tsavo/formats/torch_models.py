"""PyTorch: exported programs (.pt2), TorchScript files, and modules from pickles.

A model takes float tensors [n, k], or one tensor [n] for each column, and perhaps whole numbers for embeddings; the
columns fill its inputs in order. PyTorch computes in float32, so a row is rounded to float32 first.

Both kinds of file can carry code: ``torch.export.load`` opens the pickles inside a .pt2 without restriction
(``weights_only=False``), and TorchScript is a program. So both are opened for people who trust the file only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.formats.originals import CannotCompile, Original, unlike_a_model
from tsavo.formats.public_outputs import public_outputs, task_of
from tsavo.formats.torch_tensors import TensorInput, check_missing, check_probabilities, named_leaves
from tsavo.vocabulary import Columns, Field, Hints, Invalid, Refused, SourceFormat, Task, Unreadable

if TYPE_CHECKING:
    from tsavo.formats.compilation import Compiled

__all__ = ["TorchOriginal", "open_model", "wrap"]

_EXAMPLE_ROWS: Final = 3
_TRACES: Final = (
    "TorchScript is a program of its own; export the module with torch.export to have it compiled"
)


def open_model(path: Path, source_format: SourceFormat, hints: Hints) -> TorchOriginal:
    """Read a file of ``torch.export.save`` or ``torch.jit.save``; who calls has asked for trust.

    Raises
    ------
    Unreadable
        When PyTorch does not take it, or is not there.
    Refused
        When it was exported for a fixed number of rows, or in training mode.
    """
    torch = _torch(source_format)
    try:
        with warnings.catch_warnings():
            # PyTorch warns about its own ways of reading.
            warnings.simplefilter("ignore")
            if source_format == "torch-export":
                program = torch.export.load(path)
            else:
                script = torch.jit.load(str(path), map_location="cpu")
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes PyTorch raise nearly anything
        said = str(error).strip().splitlines()
        raise Unreadable(
            f"the {source_format} file cannot be read",
            field="source",
            found=said[0][:300] if said else type(error).__name__,
            expected="a complete file of torch.export.save or torch.jit.save",
            next_step="save the model again, with the version of PyTorch that reads it",
        ) from error
    if source_format == "torch-export":
        return _of_program(program, hints)
    return _of_module(script, hints)


def wrap(model: Any, hints: Hints) -> TorchOriginal:
    """A module or an exported program from a pickle.

    Raises
    ------
    Invalid
        When it is neither.
    """
    torch = _torch("pickle")
    if isinstance(model, torch.export.ExportedProgram):
        return _of_program(model, hints)
    if not isinstance(model, torch.nn.Module):
        raise unlike_a_model(model, "a torch.nn.Module or an ExportedProgram")
    return _of_module(model, hints)


def _torch(found: str) -> Any:
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise Unreadable(
            "PyTorch is not installed",
            field="source",
            found=found,
            expected="PyTorch beside Tsavo, to read and check the model",
            next_step="install it with 'pip install torch', or name it as a requirement of the model",
        ) from error
    # Threads of its own would fight over the cores with the other models.
    torch.set_num_threads(1)
    return torch


class TorchOriginal(Original):
    """A module in evaluation mode, or an exported program.

    Parameters
    ----------
    call
        Tensors in, tensor or tensors out.
    inputs
        What it takes.
    program
        The exported program, when the model is one.
    module
        The module, when it is one that can be exported.
    least, most
        How many rows it takes at a time.
    """

    # The squares that a normalization sums stay within float32.
    reach = 1e15

    def __init__(
        self,
        call: Any,
        inputs: Sequence[TensorInput],
        hints: Hints,
        *,
        program: Any = None,
        module: Any = None,
        least: int = 0,
        most: int | None = None,
    ) -> None:
        torch = import_module("torch")
        self._call = call
        self._hints = hints
        self._least, self._most = least, most
        self._module = module
        self.program = program
        self.inputs = tuple(inputs)
        self.framework = f"torch {torch.__version__.partition('+')[0]}"
        self.columns = _columns(self.inputs, hints)
        if hints.names is not None:
            self.names = list(hints.names)
        elif all(part.width is None for part in self.inputs):
            self.names = [part.name for part in self.inputs]
        if self.names is not None and any(part.dtype != "float32" for part in self.inputs):
            self.declared = tuple(map(_declared, self.names, self._dtypes(self.columns or 0)))
        self.classes = hints.classes
        self.task = self._task(hints)

    def _dtypes(self, columns: int) -> list[str]:
        """The type of each column."""
        widths = [_width(part, columns) for part in self.inputs]
        return [part.dtype for part, width in zip(self.inputs, widths, strict=True) for _ in range(width)]

    def _task(self, hints: Hints) -> Task:
        if hints.task is not None or hints.classes is not None or self.columns is None:
            return task_of(hints)
        # A model that gives one figure a row is taken for a regression.
        zeros = [np.zeros(_EXAMPLE_ROWS) for _ in range(self.columns)]
        try:
            outputs = named_leaves(self._asked(self._tensors(zeros)))
        except Exception:  # zeros need not be valid rows; the reference rows will tell more
            return "generic"
        return "regression" if list(outputs) == ["value"] else "generic"

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """See `Original.predict`; a missing value is refused, unless the model makes a number of it."""
        arrays = [np.asarray(columns[field.name]) for field in fields]
        if any(array.dtype == object for array in arrays):
            raise TypeError("a tensor holds numbers, and there is text among the columns")
        leaves = named_leaves(self._asked(self._tensors([array.astype(np.float64) for array in arrays])))
        outputs = {
            name: np.asarray(
                leaf.detach().cpu().double() if leaf.is_floating_point() else leaf.detach().cpu()
            )
            for name, leaf in leaves.items()
        }
        check_missing(arrays, outputs)
        return self._public(outputs)

    def _public(self, outputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        only = next(iter(outputs.values()))
        if len(outputs) > 1 or self.task == "generic":
            return outputs
        if self.task in {"binary", "multiclass"} and only.dtype.kind == "f":
            check_probabilities(only)
        return public_outputs(only, self._hints)

    def _asked(self, tensors: list[Any]) -> Any:
        """What the model gives, in as many goes as its bounds on the rows ask for."""
        torch = import_module("torch")
        rows = len(tensors[0])
        with torch.no_grad():
            if rows < self._least:
                more = [
                    torch.cat([part, part[:1].expand(self._least - rows, *part.shape[1:])])
                    for part in tensors
                ]
                return _each(self._call(*more), lambda leaf: leaf[:rows])
            if self._most is None or rows <= self._most:
                return self._call(*tensors)
            starts = range(0, rows, self._most)
            goes = [self._asked([part[start : start + self._most] for part in tensors]) for start in starts]
        pieces = [list(named_leaves(go).values()) for go in goes]
        joined = [torch.cat(list(part)) for part in zip(*pieces, strict=True)]
        return dict(zip(named_leaves(goes[0]), joined, strict=True))

    def _tensors(self, arrays: list[npt.NDArray[Any]]) -> list[Any]:
        torch = import_module("torch")
        tensors, at = [], 0
        for part in self.inputs:
            width = _width(part, len(arrays))
            table = np.stack(arrays[at : at + width], axis=1)
            at += width
            if part.dtype.startswith(("int", "bool")) and not np.array_equal(table, np.round(table)):
                raise ValueError(f"input '{part.name}' takes whole numbers")
            tensor = torch.from_numpy(table).to(getattr(torch, part.dtype))
            tensors.append(tensor[:, 0] if part.width is None else tensor)
        if at != len(arrays):
            raise ValueError(f"the model takes {at} columns and {len(arrays)} are given")
        return tensors

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        """See `Original.compile`."""
        from tsavo.formats.compilation import compile_graph
        from tsavo.formats.torch_graphs import torch_answers

        if self.program is None and self._module is None:
            raise CannotCompile(_TRACES)
        program = self.program if self.program is not None else self._exported(len(fields))
        compiled = compile_graph(
            lambda graph, table: torch_answers(graph, self, program, table, fields), fields, float32=float32
        )
        return msgspec.structs.replace(compiled, precision="float32, as in PyTorch")

    def _exported(self, columns: int) -> Any:
        torch = import_module("torch")
        example = torch.zeros(_EXAMPLE_ROWS, columns)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows = torch.export.Dim("rows")
                program = torch.export.export(self._module, (example,), dynamic_shapes=({0: rows},))
        except Exception as error:
            raise CannotCompile(
                f"torch.export does not take it: {str(error).strip().splitlines()[0][:200]}"
            ) from error
        return program

    @property
    def hints(self) -> Hints:
        """What the person who registers said about it."""
        return self._hints


def _each(given: Any, change: Any) -> Any:
    return {name: change(leaf) for name, leaf in named_leaves(given).items()}


def _width(part: TensorInput, columns: int) -> int:
    if part.width is None:
        return 1
    return columns if part.width < 0 else part.width


def _columns(inputs: Sequence[TensorInput], hints: Hints) -> int | None:
    known = None if any(part.width == -1 for part in inputs) else sum(_width(part, 0) for part in inputs)
    said = None if hints.names is None else len(hints.names)
    if known is not None and said is not None and known != said:
        raise Invalid(
            "the number of column names is not the model's", field="names", found=said, expected=f"{known}"
        )
    return said if known is None else known


def _declared(name: str, dtype: str) -> Field:
    return Field(name, "float64" if dtype.startswith("float") else "int64")


def _of_module(module: Any, hints: Hints) -> TorchOriginal:
    torch = import_module("torch")
    module.eval()
    width = -1
    for part in module.modules():
        if isinstance(part, torch.nn.Linear) and hints.names is None:
            # What the first layer takes, which in all but odd modules is what the module takes.
            width = int(part.in_features)
            break
    scripted = isinstance(module, torch.jit.ScriptModule)
    return TorchOriginal(module, [TensorInput("x", width)], hints, module=None if scripted else module)


def _of_program(program: Any, hints: Hints) -> TorchOriginal:
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    inputs: list[TensorInput] = []
    bounds: tuple[int, int | None] = (0, None)
    for name in program.graph_signature.user_inputs:
        value: Any = nodes[name].meta.get("val") if name in nodes else None
        if getattr(value, "shape", None) is None or len(value.shape) not in {1, 2}:
            raise Invalid(
                "an input of the model is no table",
                field="inputs",
                found=f"{name}: {tuple(getattr(value, 'shape', ())) or type(value).__name__}",
                expected="tensors of shape [rows] or [rows, columns]",
            )
        bounds = _rows(program, name, value.shape[0])
        if len(value.shape) == 2 and not isinstance(value.shape[1], int):
            raise _refused("a number of columns that is open", f"{name}: {tuple(value.shape)}")
        width = None if len(value.shape) == 1 else int(value.shape[1])
        inputs.append(TensorInput(name, width, str(value.dtype).partition(".")[2]))
    if not inputs:
        raise unlike_a_model(program, "an exported program with tensors as its inputs")
    _check_evaluation(program)
    least, most = bounds
    return TorchOriginal(program.module(), inputs, hints, program=program, least=least, most=most)


def _rows(program: Any, name: str, size: Any) -> tuple[int, int | None]:
    """The least and most rows that the program takes at a time."""
    if isinstance(size, int):
        raise _refused(f"a fixed number of rows, {size}", f"{name}: [{size}, ...]")
    found = program.range_constraints.get(size.node.expr)
    if found is None:
        raise _refused("a number of rows that is bound to another size", f"{name}: [{size}, ...]")
    finite = str(found.upper).isdigit() and int(found.upper) < 2**31
    return max(0, int(found.lower)), int(found.upper) if finite else None


def _refused(reason: str, found: str) -> Refused:
    return Refused(
        f"the program was exported for {reason}",
        field="inputs",
        found=found,
        expected="any number of rows, and a known number of columns",
        next_step="export again with rows = torch.export.Dim('rows') and "
        "torch.export.export(module, (example,), dynamic_shapes=({0: rows},))",
    )


def _check_evaluation(program: Any) -> None:
    """Refuse a program that drops out or normalizes as in training: it would answer at random."""
    for node in program.graph.nodes:
        name = str(node.target)
        position = {"aten.dropout": 2, "aten.batch_norm": 5}.get(name.rpartition(".")[0])
        if position is not None and len(node.args) > position and node.args[position] is True:
            raise Refused(
                "the module was exported in training mode",
                field="source",
                found=name,
                expected="a module in evaluation mode",
                next_step="call module.eval() before torch.export.export",
            )
