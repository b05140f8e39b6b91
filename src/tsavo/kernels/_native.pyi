import numpy as np
import numpy.typing as npt

UNIFORM_BETS: int
RISK_BETS: int

def bin_values(
    values: npt.NDArray[np.float64], edges: npt.NDArray[np.float32], center: float, out: npt.NDArray[np.int32]
) -> None: ...
def conformal_p_values(
    bins: npt.NDArray[np.int32],
    counts: npt.NDArray[np.uint64],
    seed: int,
    rows: int,
    out: npt.NDArray[np.float64],
) -> None: ...
def bet_on_uniform(
    p: npt.NDArray[np.float64],
    rows: int,
    evidence: float,
    threshold: float,
    wealth: npt.NDArray[np.float64],
    cusum: npt.NDArray[np.float64],
    start: npt.NDArray[np.float64],
    trace: npt.NDArray[np.float64] | None = ...,
) -> tuple[float, float, int, int]: ...
def bet_on_risk(
    losses: npt.NDArray[np.float64],
    tolerated: float,
    stakes: npt.NDArray[np.float64],
    rows: int,
    evidence: float,
    threshold: float,
    wealth: npt.NDArray[np.float64],
    cusum: npt.NDArray[np.float64],
    start: npt.NDArray[np.float64],
    trace: npt.NDArray[np.float64] | None = ...,
) -> tuple[float, float, int, int]: ...
def accumulate_variance(
    values: npt.NDArray[np.float64], rows: int, total: float, squares: float
) -> tuple[float, float]: ...
