"""Cases of scikit-learn: regressors."""

from __future__ import annotations

import numpy as np
from sklearn import (
    compose,
    cross_decomposition,
    ensemble,
    gaussian_process,
    kernel_ridge,
    linear_model,
    neighbors,
    neural_network,
    preprocessing,
    svm,
    tree,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 -- importing it is what enables it

from tests.matrix.case import value
from tests.matrix.making import (
    FEW,
    Scaler,
    case,
    mixed,
    pipe,
)

__all__ = ["REGRESSORS"]

REGRESSORS = [
    case(name, "diabetes", make, value)
    for name, make in (
        ("Ridge", linear_model.Ridge),
        ("Lasso", lambda: linear_model.Lasso(0.1)),
        ("ElasticNet", linear_model.ElasticNet),
        ("Lars", linear_model.Lars),
        ("BayesianRidge", linear_model.BayesianRidge),
        ("HuberRegressor", lambda: linear_model.HuberRegressor(max_iter=500)),
        ("QuantileRegressor", lambda: linear_model.QuantileRegressor(alpha=0.1)),
        ("PLSRegression", lambda: cross_decomposition.PLSRegression(3)),
        ("SVR", lambda: pipe(Scaler(), svm.SVR(C=10))),
        ("KernelRidge", lambda: kernel_ridge.KernelRidge(kernel="rbf")),
        ("DecisionTreeRegressor", lambda: tree.DecisionTreeRegressor(max_depth=5)),
        ("AdaBoostRegressor", lambda: ensemble.AdaBoostRegressor(**FEW)),
        ("BaggingRegressor", lambda: ensemble.BaggingRegressor(random_state=0)),
        (
            "MLPRegressor",
            lambda: neural_network.MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=0),
        ),
        ("SGDRegressor", lambda: pipe(Scaler(), linear_model.SGDRegressor(random_state=0))),
    )
]
REGRESSORS += [
    case("KNeighborsRegressor", "diabetes, array", neighbors.KNeighborsRegressor, value),
    case(
        "GaussianProcessRegressor",
        "diabetes, array",
        lambda: gaussian_process.GaussianProcessRegressor(alpha=0.5, normalize_y=True),
        value,
    ),
    case("RandomForestRegressor", "diabetes, array", lambda: ensemble.RandomForestRegressor(**FEW), value),
    case(
        "PoissonRegressor",
        "flights, air time",
        lambda: pipe(Scaler(), linear_model.PoissonRegressor()),
        value,
    ),
    case("GammaRegressor", "flights, air time", lambda: pipe(Scaler(), linear_model.GammaRegressor()), value),
    case(
        "TweedieRegressor",
        "flights, air time",
        lambda: pipe(Scaler(), linear_model.TweedieRegressor()),
        value,
    ),
    case(
        "TransformedTargetRegressor (log1p)",
        "flights, air time",
        lambda: compose.TransformedTargetRegressor(
            linear_model.LinearRegression(), func=np.log1p, inverse_func=np.expm1
        ),
        value,
    ),
    case(
        "GradientBoostingRegressor",
        "flights, air time",
        lambda: ensemble.GradientBoostingRegressor(**FEW),
        value,
    ),
    case(
        "HistGradientBoostingRegressor, pipeline",
        "flights, delay",
        lambda: mixed(
            ensemble.HistGradientBoostingRegressor(max_iter=15),
            text=preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
            numbers="passthrough",
        ),
        value,
    ),
    case(
        "VotingRegressor, pipeline",
        "flights, delay",
        lambda: mixed(
            ensemble.VotingRegressor(
                [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4))]
            )
        ),
        value,
    ),
    case(
        "StackingRegressor",
        "diabetes",
        lambda: ensemble.StackingRegressor(
            [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4))], cv=2
        ),
        value,
    ),
]
