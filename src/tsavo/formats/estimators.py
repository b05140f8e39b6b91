"""Reads scikit-learn estimators from files. Only the worker process may call this.

A skops file is loaded with an allow-list: skops' own, and the few types below that scikit-learn's estimators are
made of. The other formats run code of their author while they load, so somebody has to vouch for them.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final

from tsavo.formats.sniffing import check_trust
from tsavo.vocabulary import Invalid, Refused, SourceFormat, TooLarge, TsavoError, Unreadable, Untrusted

__all__ = ["missing_libraries", "read_estimator"]

MAX_UNPACKED: Final = 1 << 31
_MAX_ENTRIES: Final = 100_000
_MAX_SCHEMA: Final = 64 << 20

# What scikit-learn's estimators hold inside and skops does not trust by itself: data, and functions of scikit-learn
# that compute a number from arrays. None of them does anything else when it is built or called.
_ALLOWED: Final = frozenset(
    {
        "# What MLflow makes of LightGBM's estimators; the booster inside is LightGBM's own text.",
        "collections.OrderedDict",
        "functools.partial",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRanker",
        "lightgbm.sklearn.LGBMRegressor",
        "numpy.dtype",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "sklearn._loss._loss.CyAbsoluteError",
        "sklearn._loss._loss.CyExponentialLoss",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfGammaLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss._loss.CyHalfPoissonLoss",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn._loss._loss.CyHalfTweedieLoss",
        "sklearn._loss._loss.CyHalfTweedieLossIdentity",
        "sklearn._loss._loss.CyHuberLoss",
        "sklearn._loss._loss.CyPinballLoss",
        "sklearn._loss.link.HalfLogitLink",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.ExponentialLoss",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn._loss.loss.HuberLoss",
        "sklearn._loss.loss.PinballLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.cluster._kmeans._kmeans_single_elkan",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process.kernels.CompoundKernel",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.ExpSineSquared",
        "sklearn.gaussian_process.kernels.Exponentiation",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.impute._iterative.IterativeImputer",
        "sklearn.impute._iterative._ImputerTriplet",
        "sklearn.metrics._classification.accuracy_score",
        "sklearn.metrics._classification.balanced_accuracy_score",
        "sklearn.metrics._classification.f1_score",
        "sklearn.metrics._classification.log_loss",
        "sklearn.metrics._classification.precision_score",
        "sklearn.metrics._classification.recall_score",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.metrics._ranking.average_precision_score",
        "sklearn.metrics._ranking.roc_auc_score",
        "sklearn.metrics._regression.mean_absolute_error",
        "sklearn.metrics._regression.mean_squared_error",
        "sklearn.metrics._regression.r2_score",
        "sklearn.metrics._scorer._CurveScorer",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
        "sklearn.model_selection._split.GroupKFold",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.RepeatedKFold",
        "sklearn.model_selection._split.RepeatedStratifiedKFold",
        "sklearn.model_selection._split.ShuffleSplit",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.model_selection._split.StratifiedShuffleSplit",
        "sklearn.model_selection._split.TimeSeriesSplit",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        "sklearn.utils.validation.check_array",
    }
)


def missing_libraries(error: ImportError) -> Refused:
    """What to say when the worker lacks a library."""
    extra = "pip install 'tsavo[sklearn]'"
    name = (error.name or "").partition(".")[0]
    if name in {"", "onnx", "sklearn", "pandas", "skl2onnx", "skops", "joblib", "scipy"}:
        return Refused(
            f"the library '{name or error}' is needed to read this model and is not installed",
            field="source",
            next_step=f"install it with: {extra}",
        )
    return Refused(
        f"the model needs the module '{name}', which is not installed here",
        field="source",
        next_step="install it beside Tsavo, or save the model without code of your own",
    )


def read_estimator(path: Path, source_format: SourceFormat, *, trusted: bool) -> Any:
    """The object in the file.

    Raises
    ------
    Untrusted
        For code nobody vouched for, and for skops files with types outside the allow-list.
    Unreadable
        For files that are truncated, damaged or not what they say.
    """
    check_trust(source_format, trusted=trusted)
    try:
        with warnings.catch_warnings():
            # A model of another scikit-learn release warns; whether it answers the same is checked later on.
            warnings.simplefilter("ignore")
            return _read_skops(path) if source_format == "skops" else _read_pickle(path)
    except TsavoError:
        raise
    except ImportError as error:
        raise missing_libraries(error) from error
    except MemoryError:
        raise
    except Exception as error:  # broken files make these loaders raise nearly anything
        raise Unreadable(
            f"the {source_format} file cannot be read",
            field="source",
            found=f"{type(error).__name__}: {error}"[:300],
            expected="a file that was written completely, by libraries like the ones installed here",
            next_step="save the model again",
        ) from error


def _read_pickle(path: Path) -> Any:
    import joblib

    try:
        return joblib.load(path)
    except pickle.UnpicklingError as error:
        raise EOFError(str(error)) from error


def _read_skops(path: Path) -> Any:
    check_archive(path)
    from skops import io

    found = io.get_untrusted_types(file=path)
    unknown = sorted(set(found) - _ALLOWED)
    if unknown:
        raise Untrusted(
            "the skops file holds types that are not on the allow-list",
            field="source",
            found=unknown[:20],
            expected="scikit-learn's own estimators, numpy and scipy data",
            next_step="leave these types out of the model, or save it with joblib and register it with --trust",
            details={"types": unknown},
        )
    # No more than the file needs: skops goes through the list for every part of a model.
    return io.load(path, trusted=found)


def check_archive(path: Path) -> None:
    """Refuse archives that reach outside themselves, or that unpack to far more than a model needs."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if "schema.json" not in names:
        raise Unreadable(
            "a zip archive, but not a skops file",
            field="source",
            found=names[:10],
            expected="an archive with a schema.json, as 'skops.io.dump' writes",
        )
    odd = [
        name
        for name in names
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or ":" in name
    ]
    if odd or len(set(names)) != len(names):
        raise Invalid(
            "the archive plays tricks with its names",
            field="source",
            found=odd[:10] or "names that occur twice",
            expected="plain names, each once",
        )
    unpacked = sum(entry.file_size for entry in entries)
    schema = archive.NameToInfo["schema.json"].file_size
    if unpacked > MAX_UNPACKED or len(entries) > _MAX_ENTRIES or schema > _MAX_SCHEMA:
        raise TooLarge(
            "the archive unpacks to more than a model needs",
            field="source",
            found=f"{unpacked} bytes in {len(entries)} entries, schema of {schema} bytes",
            expected=f"at most {MAX_UNPACKED} bytes in {_MAX_ENTRIES} entries, schema of {_MAX_SCHEMA} bytes",
        )
