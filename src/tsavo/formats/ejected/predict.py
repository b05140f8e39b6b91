"""Score a CSV or JSON file with the model in this folder: ``python predict.py rows.csv -o answers.csv``.

JSON is an array of rows, or one row a line; ``-`` reads standard input. Needs what requirements.txt lists, and nothing
else.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
# Spellings of a missing value, as Tsavo and Arrow read CSV.
MISSING = {
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
}
TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def main() -> int:
    """Read, score, write; 1 when the model does not take the rows."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("rows", help="a .csv, .json or .jsonl file, or - for standard input")
    words.add_argument("-o", "--output", default="-", help="the CSV file to write (default: standard output)")
    given = words.parse_args()
    sys.path.insert(0, str(FOLDER / "code"))
    package = json.loads((FOLDER / "model.json").read_text("utf-8"))["package"]
    model = import_module(f"{package}.loading").Model(FOLDER)
    text = sys.stdin.read() if given.rows == "-" else Path(given.rows).read_text("utf-8-sig")
    try:
        answers = model.answers(read_rows(text, model.signature["inputs"]))
    except ValueError as error:
        sys.stderr.write(f"predict.py: {error}\n")
        return 1
    if given.output == "-":
        write_answers(answers, sys.stdout)
    else:
        with Path(given.output).open("w", encoding="utf-8", newline="") as file:
            write_answers(answers, file)
    return 0


def read_rows(text: str, fields: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Column name -> values, from JSON or CSV text."""
    if text.lstrip()[:1] in ("[", "{"):
        whole = text.lstrip().startswith("[")
        rows = json.loads(text) if whole else [json.loads(line) for line in text.splitlines() if line.strip()]
        # A column that no row has is missing altogether, and that is for the model to say.
        names = {name for row in rows for name in row}
        return {name: [row.get(name) for row in rows] for name in names}
    lines = csv.DictReader(text.splitlines(keepends=True))
    kinds = {field["name"]: field["dtype"] for field in fields}
    columns: dict[str, list[Any]] = {name: [] for name in lines.fieldnames or () if name in kinds}
    for line in lines:
        for name, values in columns.items():
            values.append(cell(line[name], kinds[name]))
    return columns


def cell(text: str | None, kind: str) -> Any:
    """A cell of a CSV file as the column has it; what is not of its type stays text, which the model refuses."""
    if text is None or text in MISSING:
        return None
    if kind == "string":
        return text
    if kind == "bool":
        return TRUTH.get(text, text)
    if "_" in text:  # which Python, unlike anybody else, reads as a digit separator
        return text
    try:
        return int(text) if kind.startswith("int") and text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return text


def write_answers(answers: dict[str, Any], file: Any) -> None:
    """The answers as CSV; numbers are written so that they read back the same."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(answers)
    for row in zip(*(values.tolist() for values in answers.values()), strict=True):
        writer.writerow(["" if value is None else value for value in row])


if __name__ == "__main__":
    sys.exit(main())
