"""Options of commands that register a model: what it is checked on, and what the file does not say itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from tsavo.cli.options import Flag
from tsavo.vocabulary import Invalid, NotFound, Task

__all__ = ["About", "Described"]

_Several = Annotated[list[str] | None, Parameter(negative="", consume_multiple=False)]


@dataclass(frozen=True)
class About:
    """Options of every command that registers a model.

    Parameters
    ----------
    reference
        Table (Parquet, CSV, JSON) that the model is checked on and later compared with.
    target
        The reference column that holds what really happened.
    trust
        You vouch for a file that can carry code; your name is recorded.
    task
        What the model is for, where the file does not say it.
    classes
        Class labels in the order of the probabilities, as 'no,yes' or a JSON list.
    columns
        Input columns in the model's order, as 'age,income' or a JSON list.
    unit
        What a column is measured in, such as amount=EUR; may be given several times.
    requirement
        What the model's own environment needs, such as 'scikit-learn==1.7.2'; may be given several times.
    requirements
        A requirements.txt of the model's own environment.
    python
        The Python of the model's own environment, such as 3.12.
    runtime
        'onnx' refuses a model that cannot be compiled; 'python' leaves it as it is, in a Python worker.
    tracking_uri
        The MLflow server of a models:/ or runs:/ address (default: MLFLOW_TRACKING_URI).
    """

    reference: Path | None = None
    target: str | None = None
    trust: Flag = False
    task: Task | None = None
    classes: str | None = None
    columns: str | None = None
    unit: _Several = None
    requirement: _Several = None
    requirements: Path | None = None
    python: str | None = None
    runtime: Literal["auto", "onnx", "python"] = "auto"
    tracking_uri: str | None = None

    def words(self) -> dict[str, Any]:
        """What `Client.register` takes."""
        return {
            "reference": self.reference,
            "target": self.target,
            "trust": self.trust,
            "task": self.task,
            "classes": None if self.classes is None else _values(self.classes, "classes"),
            "columns": None
            if self.columns is None
            else [str(name) for name in _values(self.columns, "columns")],
            "units": _units(self.unit or ()),
            "requirements": [*(self.requirement or ()), *_lines(self.requirements)],
            "python": self.python,
            "runtime": self.runtime,
            "tracking_uri": self.tracking_uri,
        }


Described = Annotated[About, Parameter(name="*")]


def _values(text: str, field: str) -> list[Any]:
    """A list as JSON, or separated by commas; whole numbers are numbers.

    >>> _values("0,1", "classes"), _values('["0", "1"]', "classes"), _values("no, yes", "classes")
    ([0, 1], ['0', '1'], ['no', 'yes'])
    """
    if text.lstrip().startswith("["):
        try:
            values: list[Any] = msgspec.json.decode(text, type=list[str | int | bool | float])
        except msgspec.MsgspecError as error:
            raise Invalid(
                f"not a JSON list: {error}", field=field, found=text, expected="such as ['no', 'yes']"
            ) from error
        return values
    words = [word.strip() for word in text.split(",")]
    return [int(word) for word in words] if all(_whole(word) for word in words) else list(words)


def _whole(word: str) -> bool:
    return word.removeprefix("-").isdecimal() and word.isascii()


def _units(pairs: Sequence[str]) -> dict[str, str]:
    units = {}
    for pair in pairs:
        name, equals, unit = pair.partition("=")
        if not (name and equals and unit):
            raise Invalid(
                "not a column and its unit", field="unit", found=pair, expected="such as amount=EUR"
            )
        units[name] = unit
    return units


def _lines(path: Path | None) -> list[str]:
    """The requirements in a file; comments and hashes are no part of them."""
    if path is None:
        return []
    if not path.is_file():
        raise NotFound("there is no such file", field="requirements", found=str(path))
    text = path.read_text("utf-8", errors="replace").replace("\\\n", " ")
    lines = (line.partition(" #")[0].partition(" --hash=")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
