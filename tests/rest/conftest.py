"""A program of a test's own is no test: whoever looks for doctests must not import it."""

from __future__ import annotations

collect_ignore = ["mlflow_protocol.py"]
