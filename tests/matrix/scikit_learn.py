"""Cases of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import (
    calibration,
    cluster,
    compose,
    covariance,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    kernel_ridge,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 -- importing it is what enables it

from tests.matrix.case import Answers, Case, as_joblib, as_skops, classes, value
from tests.matrix.data import Rows

__all__ = ["CASES"]

pipe = pipeline.make_pipeline
Scaler = preprocessing.StandardScaler
OneHot = preprocessing.OneHotEncoder
Logistic = linear_model.LogisticRegression
Forest = ensemble.RandomForestClassifier
Trees = tree.DecisionTreeClassifier

NUMBERS = ["dep_delay", "distance", "hour", "temp", "wind_speed", "visib"]
TEXTS = ["carrier", "origin", "dest"]


def anomaly(model: Any, inputs: Any) -> Answers:
    return {"score": model.decision_function(inputs), "label": model.predict(inputs)}


def clusters(model: Any, inputs: Any) -> Answers:
    return {"label": model.predict(inputs)}


def columns(model: Any, inputs: Any) -> Answers:
    made = model.transform(inputs)
    return {"value": np.asarray(made.toarray() if hasattr(made, "toarray") else made)}


def labels(model: Any, inputs: Any) -> Answers:
    """Several questions with yes or no, each with the probability of yes."""
    answers = {"label": np.asarray(model.predict(inputs))}
    if hasattr(model, "predict_proba"):
        shares = model.predict_proba(inputs)
        if isinstance(shares, list):
            shares = np.stack([part[:, 1] for part in shares], axis=1)
        answers["probabilities"] = np.asarray(shares)
    return answers


def texts(model: Any, inputs: Any) -> Answers:
    return classes(model, inputs["route"])


def mixed(*steps: Any, text: Any = None, numbers: Any = None) -> Any:
    """Text and numbers, each prepared in its own way, and then `steps`."""
    text = text or pipe(impute.SimpleImputer(strategy="most_frequent"), OneHot(handle_unknown="ignore"))
    numbers = numbers or pipe(impute.SimpleImputer(strategy="median"), Scaler())
    return pipe(compose.ColumnTransformer([("text", text, TEXTS), ("numbers", numbers, NUMBERS)]), *steps)


def fitted(make: Callable[[], Any]) -> Callable[[Rows], Any]:
    return lambda rows: make().fit(rows.inputs, rows.target)


def on_text(make: Callable[[], Any]) -> Callable[[Rows], Any]:
    return lambda rows: make().fit(rows.inputs["route"], rows.target)


def case(
    model: str, data: str, make: Callable[[], Any], ask: Callable[[Any, Any], Answers] = classes, **more: Any
) -> Case:
    return Case("scikit-learn", model, data, fitted(make), ask, **{"save": as_skops, **more})


FEW: dict[str, Any] = {"n_estimators": 15, "random_state": 0}
MIXED = "flights, text and numbers with gaps"
FLAGS = "flights, whole numbers and booleans"
LABELS = "breast cancer, three labels"

CLASSIFIERS = [
    case("LogisticRegression", "iris", lambda: Logistic(max_iter=500)),
    case("LogisticRegression, classes as text", "iris, classes as text", lambda: Logistic(max_iter=500)),
    case("LogisticRegression (liblinear)", "breast cancer", lambda: Logistic(solver="liblinear")),
    case("LogisticRegression", FLAGS, lambda: pipe(Scaler(), Logistic())),
    case(
        "SGDClassifier (log_loss)",
        "wine",
        lambda: pipe(Scaler(), linear_model.SGDClassifier(loss="log_loss")),
    ),
    case("SGDClassifier (hinge)", "iris, array", lambda: linear_model.SGDClassifier(random_state=0)),
    case("Perceptron", "wine", lambda: pipe(Scaler(), linear_model.Perceptron())),
    case("RidgeClassifier", "breast cancer", linear_model.RidgeClassifier),
    case("LinearSVC", "iris", lambda: svm.LinearSVC(random_state=0)),
    case("SVC (rbf)", "iris, array", svm.SVC),
    case("SVC (poly)", "breast cancer, array", lambda: pipe(Scaler(), svm.SVC(kernel="poly", degree=2))),
    case("NuSVC", "wine", lambda: pipe(Scaler(), svm.NuSVC(nu=0.3))),
    case("KNeighborsClassifier", "iris, array", neighbors.KNeighborsClassifier),
    case("NearestCentroid", "wine", neighbors.NearestCentroid),
    case("GaussianNB", "iris", naive_bayes.GaussianNB),
    case("MultinomialNB", "digits, array", naive_bayes.MultinomialNB),
    case("BernoulliNB", FLAGS, lambda: naive_bayes.BernoulliNB(binarize=8.0)),
    case("ComplementNB", "digits, array", naive_bayes.ComplementNB),
    case("LinearDiscriminantAnalysis", "wine", discriminant_analysis.LinearDiscriminantAnalysis),
    case("QuadraticDiscriminantAnalysis", "iris", discriminant_analysis.QuadraticDiscriminantAnalysis),
    case(
        "MLPClassifier",
        "wine",
        lambda: pipe(Scaler(), neural_network.MLPClassifier((8,), max_iter=50, random_state=0)),
    ),
    case("DecisionTreeClassifier", FLAGS, lambda: Trees(max_depth=6)),
    case("DecisionTreeClassifier", "breast cancer, gaps", lambda: Trees(max_depth=6, random_state=0)),
    case("RandomForestClassifier", "breast cancer", lambda: Forest(**FEW)),
    case("RandomForestClassifier", "breast cancer, gaps", lambda: Forest(**FEW)),
    case("ExtraTreesClassifier", "iris, array", lambda: ensemble.ExtraTreesClassifier(**FEW)),
    case("GradientBoostingClassifier", "iris", lambda: ensemble.GradientBoostingClassifier(**FEW)),
    case(
        "HistGradientBoostingClassifier",
        "breast cancer, gaps",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=15),
    ),
    case("AdaBoostClassifier", "breast cancer", lambda: ensemble.AdaBoostClassifier(**FEW)),
    case(
        "BaggingClassifier (logistic)",
        "wine",
        lambda: pipe(Scaler(), ensemble.BaggingClassifier(Logistic(), 5, max_features=0.7, random_state=0)),
    ),
    case(
        "VotingClassifier (soft)",
        "iris",
        lambda: ensemble.VotingClassifier(
            [("a", Logistic(max_iter=500)), ("b", Forest(**FEW))], voting="soft"
        ),
    ),
    case(
        "VotingClassifier (hard)",
        "wine",
        lambda: ensemble.VotingClassifier(
            [("a", naive_bayes.GaussianNB()), ("b", Trees()), ("c", Forest(**FEW))]
        ),
    ),
    case(
        "StackingClassifier",
        "breast cancer",
        lambda: ensemble.StackingClassifier(
            [("a", Trees(max_depth=3)), ("b", pipe(Scaler(), svm.LinearSVC()))], cv=2
        ),
    ),
    case(
        "CalibratedClassifierCV (sigmoid)",
        "breast cancer",
        lambda: calibration.CalibratedClassifierCV(pipe(Scaler(), svm.LinearSVC()), cv=2),
    ),
    case(
        "CalibratedClassifierCV (isotonic)",
        "iris",
        lambda: calibration.CalibratedClassifierCV(Forest(**FEW), method="isotonic", cv=2),
    ),
    case(
        "CalibratedClassifierCV (temperature)",
        "wine",
        lambda: calibration.CalibratedClassifierCV(pipe(Scaler(), Logistic()), method="temperature", cv=2),
    ),
    case("OneVsRestClassifier", "iris", lambda: multiclass.OneVsRestClassifier(Logistic(max_iter=500))),
    case(
        "OneVsOneClassifier", "wine", lambda: pipe(Scaler(), multiclass.OneVsOneClassifier(svm.LinearSVC()))
    ),
    case("OutputCodeClassifier", "iris", lambda: multiclass.OutputCodeClassifier(Logistic(), random_state=0)),
    case(
        "FixedThresholdClassifier",
        "breast cancer",
        lambda: model_selection.FixedThresholdClassifier(pipe(Scaler(), Logistic()), threshold=0.8),
    ),
    case(
        "TunedThresholdClassifierCV",
        FLAGS,
        lambda: model_selection.TunedThresholdClassifierCV(pipe(Scaler(), Logistic()), cv=2, thresholds=20),
    ),
    case("GridSearchCV", "iris", lambda: model_selection.GridSearchCV(Trees(), {"max_depth": [2, 3]}, cv=2)),
    case("DummyClassifier", "iris", dummy.DummyClassifier),
]

SEVERAL = [
    case("RandomForestClassifier, three labels", LABELS, lambda: Forest(**FEW), labels),
    case(
        "MultiOutputClassifier, three labels",
        LABELS,
        lambda: pipe(Scaler(), multioutput.MultiOutputClassifier(Logistic())),
        labels,
    ),
    case(
        "ClassifierChain, three labels",
        LABELS,
        lambda: multioutput.ClassifierChain(Trees(max_depth=4)),
        labels,
    ),
    case(
        "OneVsRestClassifier, three labels",
        LABELS,
        lambda: pipe(Scaler(), multiclass.OneVsRestClassifier(Logistic())),
        labels,
    ),
    case("KNeighborsClassifier, three labels", LABELS, neighbors.KNeighborsClassifier, labels),
    case("LinearRegression, two targets", "diabetes, two targets", linear_model.LinearRegression, value),
    case(
        "RandomForestRegressor, two targets",
        "diabetes, two targets",
        lambda: ensemble.RandomForestRegressor(**FEW),
        value,
    ),
    case(
        "MultiOutputRegressor",
        "diabetes, two targets",
        lambda: multioutput.MultiOutputRegressor(ensemble.GradientBoostingRegressor(**FEW)),
        value,
    ),
    case(
        "RegressorChain",
        "diabetes, two targets",
        lambda: multioutput.RegressorChain(linear_model.Ridge()),
        value,
    ),
]

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

PIPELINES = [
    case("one-hot, scaler, LogisticRegression", MIXED, lambda: mixed(Logistic(max_iter=500))),
    case(
        "one-hot, scaler, GradientBoostingClassifier",
        MIXED,
        lambda: mixed(ensemble.GradientBoostingClassifier(**FEW)),
    ),
    case(
        "one-hot (infrequent), RandomForestClassifier",
        MIXED,
        lambda: mixed(Forest(**FEW), text=OneHot(handle_unknown="infrequent_if_exist", min_frequency=20)),
    ),
    case(
        "ordinal, HistGradientBoostingClassifier",
        MIXED,
        lambda: mixed(
            ensemble.HistGradientBoostingClassifier(max_iter=15),
            text=preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
            numbers="passthrough",
        ),
    ),
    case(
        "TargetEncoder, LogisticRegression",
        MIXED,
        lambda: mixed(Logistic(max_iter=500), text=preprocessing.TargetEncoder(random_state=0)),
    ),
    case(
        "nested ColumnTransformer, union, LinearSVC",
        MIXED,
        lambda: mixed(
            svm.LinearSVC(),
            numbers=compose.ColumnTransformer(
                [
                    ("few", pipe(impute.SimpleImputer(add_indicator=True), Scaler()), [0, 1, 2]),
                    (
                        "weather",
                        pipe(
                            impute.SimpleImputer(),
                            pipeline.FeatureUnion([("a", Scaler()), ("b", preprocessing.MinMaxScaler())]),
                        ),
                        [3, 4, 5],
                    ),
                ]
            ),
        ),
    ),
    case(
        "one-hot (drop), Lasso",
        "flights, delay",
        lambda: mixed(
            linear_model.Lasso(0.5),
            text=pipe(
                impute.SimpleImputer(strategy="constant", fill_value="?"),
                OneHot(drop="first", handle_unknown="ignore"),
            ),
        ),
        value,
    ),
    case(
        "KNNImputer, LogisticRegression",
        "breast cancer, gaps",
        lambda: pipe(impute.KNNImputer(n_neighbors=3), Scaler(), Logistic()),
    ),
    case("PCA, LogisticRegression", "wine", lambda: pipe(Scaler(), decomposition.PCA(5), Logistic())),
    case(
        "TruncatedSVD, KNeighborsClassifier",
        "digits, array",
        lambda: pipe(decomposition.TruncatedSVD(8, random_state=0), neighbors.KNeighborsClassifier(3)),
    ),
    case(
        "IterativeImputer, LogisticRegression",
        "breast cancer, gaps",
        lambda: pipe(impute.IterativeImputer(max_iter=3, n_nearest_features=4), Scaler(), Logistic()),
    ),
    case(
        "PolynomialFeatures, Ridge",
        "diabetes",
        lambda: pipe(preprocessing.PolynomialFeatures(2), linear_model.Ridge()),
        value,
    ),
    case(
        "SplineTransformer, Ridge",
        "diabetes",
        lambda: pipe(preprocessing.SplineTransformer(n_knots=4), linear_model.Ridge()),
        value,
    ),
    case(
        "QuantileTransformer, LogisticRegression",
        "wine",
        lambda: pipe(preprocessing.QuantileTransformer(n_quantiles=50), Logistic()),
    ),
    case(
        "PowerTransformer, LogisticRegression",
        "wine",
        lambda: pipe(preprocessing.PowerTransformer(), Logistic()),
    ),
    case(
        "RobustScaler, Normalizer, SVC",
        "wine",
        lambda: pipe(preprocessing.RobustScaler(), preprocessing.Normalizer(), svm.SVC()),
    ),
    case(
        "KBinsDiscretizer, LogisticRegression",
        "iris",
        lambda: pipe(preprocessing.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), Logistic()),
    ),
    case(
        "SelectKBest, GaussianNB",
        "breast cancer",
        lambda: pipe(feature_selection.SelectKBest(k=8), naive_bayes.GaussianNB()),
    ),
    case(
        "RFE, LogisticRegression",
        "wine",
        lambda: pipe(Scaler(), feature_selection.RFE(Logistic(), n_features_to_select=5), Logistic()),
    ),
    case(
        "SelectFromModel, DecisionTreeClassifier",
        "breast cancer",
        lambda: pipe(feature_selection.SelectFromModel(Forest(**FEW)), Trees(max_depth=4)),
    ),
    case(
        "HistGradientBoostingClassifier, categories",
        "flights, text and numbers",
        lambda: pipe(
            compose.ColumnTransformer(
                [("text", preprocessing.OrdinalEncoder(), ["carrier", "origin"])], remainder="passthrough"
            ),
            ensemble.HistGradientBoostingClassifier(max_iter=15, categorical_features=[0, 1]),
        ),
    ),
    case(
        "StandardScaler, PCA (a transformer)", "wine", lambda: pipe(Scaler(), decomposition.PCA(3)), columns
    ),
    case("ColumnTransformer (a transformer)", MIXED, mixed, columns),
    Case(
        "scikit-learn",
        "TfidfVectorizer, LogisticRegression",
        "flights, free text",
        on_text(lambda: pipe(feature_extraction.text.TfidfVectorizer(), Logistic())),
        texts,
        save=as_skops,
    ),
]

UNLABELLED = [
    case("IsolationForest", "breast cancer", lambda: ensemble.IsolationForest(**FEW), anomaly),
    case("LocalOutlierFactor", "iris, array", lambda: neighbors.LocalOutlierFactor(novelty=True), anomaly),
    case("OneClassSVM", "wine", lambda: pipe(Scaler(), svm.OneClassSVM(nu=0.1)), anomaly),
    case("EllipticEnvelope", "iris", lambda: covariance.EllipticEnvelope(random_state=0), anomaly),
    *[
        case(name, "wine", make, clusters)
        for name, make in (
            ("KMeans", lambda: pipe(Scaler(), cluster.KMeans(3, n_init=1, random_state=0))),
            ("MiniBatchKMeans", lambda: pipe(Scaler(), cluster.MiniBatchKMeans(3, n_init=1, random_state=0))),
            ("BisectingKMeans", lambda: pipe(Scaler(), cluster.BisectingKMeans(3, random_state=0))),
            ("MeanShift", lambda: pipe(Scaler(), cluster.MeanShift(bandwidth=3.0))),
            ("AffinityPropagation", lambda: pipe(Scaler(), cluster.AffinityPropagation(random_state=0))),
        )
    ],
    case(
        "Birch (joblib)",
        "wine",
        lambda: pipe(Scaler(), cluster.Birch(n_clusters=3)),
        clusters,
        save=as_joblib,
        trust=True,
    ),
    case("GaussianMixture", "iris", lambda: mixture.GaussianMixture(3, random_state=0)),
]

CASES = (*CLASSIFIERS, *SEVERAL, *REGRESSORS, *PIPELINES, *UNLABELLED)
