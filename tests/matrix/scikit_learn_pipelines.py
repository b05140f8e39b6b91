"""Cases of scikit-learn: pipelines and transformers."""

from __future__ import annotations

import numpy as np
from sklearn import (
    compose,
    decomposition,
    ensemble,
    feature_extraction,
    feature_selection,
    impute,
    linear_model,
    naive_bayes,
    neighbors,
    pipeline,
    preprocessing,
    svm,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 -- importing it is what enables it

from tests.matrix.case import Case, as_skops, value
from tests.matrix.making import (
    FEW,
    MIXED,
    Forest,
    Logistic,
    OneHot,
    Scaler,
    Trees,
    case,
    columns,
    mixed,
    on_text,
    pipe,
    texts,
)

__all__ = ["PIPELINES"]

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
