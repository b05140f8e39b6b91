"""Reads PMML (4.0 to 4.4): the text of such a file comes in, a document that can be computed goes out.

What a document says is written once, as steps of a `Calculation`; numpy does these steps for the original and an ONNX
graph for the compiled model, so both mean the same. Nothing here opens a file or an address, resolves an entity, or
guesses at an element that it does not know.
"""

from __future__ import annotations

from tsavo.formats.pmml.calculations import Calculation, NumpyCalculation, Value
from tsavo.formats.pmml.documents import Document, read_document
from tsavo.formats.pmml.elements import Element, NotPMML, read_elements

__all__ = [
    "Calculation",
    "Document",
    "Element",
    "NotPMML",
    "NumpyCalculation",
    "Value",
    "read_document",
    "read_elements",
]
