"""Evidence of several e-processes, as one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tsavo.vocabulary import Invalid

__all__ = ["average_evidence"]


def average_evidence(values: Iterable[float]) -> float:
    """Average e-values into one e-value.

    Guarantee: when each of `values` is an e-value for its own null hypothesis, the average is an e-value for
    all of them holding together, whatever their dependence; averages of e-processes on a common clock are
    e-processes.

    Parameters
    ----------
    values
        Non-negative numbers, at least one.

    Raises
    ------
    Invalid
        When there are none, or one is negative or NaN.

    References
    ----------
    Vovk & Wang (2021). E-values: calibration, combination and applications. Annals of Statistics 49(3),
    section 3: the average essentially dominates every other symmetric merging function.

    Examples
    --------
    >>> average_evidence([0.5, 0.5, 59.0])
    20.0
    """
    array = np.fromiter(values, dtype=np.float64)
    if array.size == 0 or not bool(np.all(array >= 0.0)):
        raise Invalid(
            "not e-values",
            field="values",
            found=array.tolist(),
            expected="non-negative numbers, at least one",
        )
    return float(array.mean())
