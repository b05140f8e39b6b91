"""Statistics that hold while you watch: a library in its own right (``from tsavo import stats``).

What comes in: numpy arrays, a batch at a time, as large or small as they happen to come. What goes out:
evidence (an e-value: how many times richer a gambler against "all is well" has become), intervals that hold
at every look, and quantiles; each with a compact state, from which a restart goes on bit for bit. It must
never do I/O, read a clock, or draw from a global random state: seeds are given.
"""

from tsavo.stats.betting import EProcess
from tsavo.stats.binning import CategoryBins, NumericBins
from tsavo.stats.confidence import MeanConfidenceSequence
from tsavo.stats.conformal import ConformalPValues
from tsavo.stats.drift import DriftEProcess
from tsavo.stats.evidence import average_evidence
from tsavo.stats.quantiles import QuantileSketch
from tsavo.stats.risk import RiskEProcess

__all__ = [
    "CategoryBins",
    "ConformalPValues",
    "DriftEProcess",
    "EProcess",
    "MeanConfidenceSequence",
    "NumericBins",
    "QuantileSketch",
    "RiskEProcess",
    "average_evidence",
]
