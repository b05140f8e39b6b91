"""Cases of scikit-learn."""

from __future__ import annotations

from sklearn import (
    calibration,
    cluster,
    covariance,
    discriminant_analysis,
    dummy,
    ensemble,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    svm,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 -- importing it is what enables it

from tests.matrix.case import as_joblib, value
from tests.matrix.making import (
    FEW,
    FLAGS,
    LABELS,
    Forest,
    Logistic,
    Scaler,
    Trees,
    anomaly,
    case,
    clusters,
    labels,
    pipe,
)

__all__ = ["CASES"]

from tests.matrix.scikit_learn_numbers import REGRESSORS
from tests.matrix.scikit_learn_pipelines import PIPELINES

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
