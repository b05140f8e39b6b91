"""The README of an ejected version."""

from __future__ import annotations

from typing import Any

from tsavo.vocabulary import Field, Output, Signature, Version

__all__ = ["readme"]


def readme(version: Version, golden: bool) -> str:
    """What is in the folder, and how it is used; for somebody who has never heard of Tsavo."""
    lineage = version.lineage
    compiled = version.runtime == "onnx"
    parts = [
        f"# {version.ref}",
        f"A trained model ({version.signature.task}) that Tsavo kept and served. "
        "This folder is complete: it needs no Tsavo, and no MLflow unless you want it.",
        _steps(golden=golden),
        "## What comes in",
        _inputs(version.signature),
        "## What goes out",
        _outputs(version.signature),
        "## What is here",
        _table(
            ("file", "what it is"),
            [
                *([("`model.onnx`", "the compiled model, which onnxruntime runs")] if compiled else []),
                (
                    "`source/`",
                    f"the model as it was handed in ({lineage.source_format}, {lineage.framework})",
                ),
                ("`predict.py`, `check.py`", "programs that score a file, and that check the answers"),
                ("`code/`", "what both programs and MLflow load the model with"),
                ("`model.json`", "typed inputs and outputs"),
                *([("`golden.json`, `golden.parquet`", _GOLDEN)] if golden else []),
                ("`MLmodel` and what it names", "makes the folder an MLflow model (flavour python_function)"),
                (
                    "`requirements.txt`, `python_env.yaml`, `conda.yaml`",
                    "the libraries, as they were checked",
                ),
                ("`lineage.json`", "where the model comes from: who, when, from what, how it was checked"),
            ],
        ),
        _safety(version),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_GOLDEN = "rows with the answers that the model gave at registration, and those of the original model"


def _steps(*, golden: bool) -> str:
    check = (
        "python check.py                            # do the answers still come out the same?\n"
        if golden
        else ""
    )
    return (
        "```sh\n"
        "pip install -r requirements.txt\n"
        f"{check}"
        "python predict.py rows.csv -o answers.csv  # CSV or JSON in, CSV out\n"
        "```\n\n"
        "With MLflow:\n\n"
        "```python\n"
        "import mlflow.pyfunc\n\n"
        'model = mlflow.pyfunc.load_model(".")\n'
        "answers = model.predict(frame)\n"
        "```"
    )


def _inputs(signature: Signature) -> str:
    return _table(
        ("column", "type", "may be missing", "seen in the reference data"),
        [
            (f"`{field.name}`", _typed(field), "yes" if field.nullable else "no", _seen(field))
            for field in signature.inputs
        ],
    )


def _typed(field: Field) -> str:
    return f"{field.dtype}, in {field.unit}" if field.unit else field.dtype


def _seen(field: Field) -> str:
    if field.categories is not None:
        shown = ", ".join(field.categories[:12]) + (", …" if len(field.categories) > 12 else "")
        return f"{shown} (others are refused)" if field.unseen == "refuse" else shown
    return "" if field.low is None or field.high is None else f"{field.low:g} to {field.high:g}"


def _outputs(signature: Signature) -> str:
    return _table(
        ("column", "type", "what it is"),
        [row for output in signature.outputs for row in _output_rows(signature, output)],
    )


def _output_rows(signature: Signature, output: Output) -> list[tuple[Any, ...]]:
    if output.width is None:
        return [(f"`{output.name}`", output.dtype, "")]
    classes = signature.classes if output.name == "probabilities" else None
    return [
        (
            f"`{output.name}.{k}`",
            output.dtype,
            f"of the class {classes[k]}" if classes is not None and k < len(classes) else "",
        )
        for k in range(output.width)
    ]


def _safety(version: Version) -> str:
    if version.runtime == "onnx" or version.lineage.trusted_by is None:
        return ""
    return (
        "## Before you run it\n\n"
        f"The source is a {version.lineage.source_format} file, which runs code of its author when it is loaded. "
        f"{version.lineage.trusted_by} vouched for it when it was registered (SHA-256 "
        f"`{version.lineage.source_digest}`)."
    )


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
