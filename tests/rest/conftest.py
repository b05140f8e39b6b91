"""Programs of tests' own are no tests: whoever looks for doctests must not import them."""

from __future__ import annotations

collect_ignore = ["dying_gateway.py", "kserve_calls.py", "mlflow_protocol.py"]
