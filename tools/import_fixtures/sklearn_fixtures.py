"""Makes the scikit-learn fixtures: models as `export_sklearn.py` writes them, with golden rows in and beside them."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression

from golden import write_fixture
from synthetic import COLUMNS, as_dicts, dict_rows, golden_rows, trips

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "export_sklearn"))
from export_sklearn import export  # noqa: E402  (found by the line above)

TREES = {"n_estimators": 6, "max_leaf_nodes": 12, "random_state": 1}


def _raw(estimator: Any, given: Any) -> np.ndarray:
    """Returns the score before the link if the library exposes it, else the prediction."""
    if hasattr(estimator, "decision_function"):
        return estimator.decision_function(given)
    return _prediction(estimator, given)


def _prediction(estimator: Any, given: Any) -> np.ndarray:
    if hasattr(estimator, "classes_"):
        return estimator.predict_proba(given)[:, 1]
    return estimator.predict(given)


def _write(folder: Path, name: str, document: dict[str, Any], rows: Any, columns: list[str], raw: np.ndarray,
           prediction: np.ndarray) -> None:
    text = json.dumps(document, allow_nan=False) + "\n"
    write_fixture(folder / f"{name}.json", text, f"scikit-learn {sklearn.__version__}", columns, rows, raw, prediction)


def make_vectorized(folder: Path, name: str, estimator: Any) -> None:
    """Makes a fixture with a DictVectorizer, as in the course; most of these models refuse missing values."""
    data = trips(seed=1, n_zones=20)
    complete = ~np.isnan(data.features[:, 2])
    label = data.tipped if hasattr(estimator, "predict_proba") else data.duration
    vectorizer = DictVectorizer()
    estimator.fit(vectorizer.fit_transform(as_dicts(data.features[complete])), label[complete])
    rows = dict_rows(missing=False)
    given = vectorizer.transform(rows)
    _write(folder, name, export((vectorizer, estimator), golden_rows=rows), rows, list(vectorizer.feature_names_),
           _raw(estimator, given), _prediction(estimator, given))


def make_dense(folder: Path, name: str, estimator: Any) -> None:
    """Makes a fixture with numeric columns, some of whose values are missing."""
    data = trips(seed=1)
    estimator.fit(data.features, data.tipped if hasattr(estimator, "predict_proba") else data.duration)
    borders: dict[int, list[float]] = {}
    for tree in (member.tree_ for member in estimator.estimators_):
        for feature, threshold in zip(tree.feature.tolist(), tree.threshold.tolist()):
            if feature >= 0 and np.isfinite(threshold):
                borders.setdefault(feature, []).append(threshold)
    rows = golden_rows(borders)
    names = [f"x{position}" for position in range(len(COLUMNS))]
    as_named = [dict(zip(names, row.tolist())) for row in rows]
    _write(folder, name, export(estimator, golden_rows=as_named), as_named, names,
           _raw(estimator, rows), _prediction(estimator, rows))


def make_all(folder: Path) -> None:
    make_vectorized(folder, "sklearn-linear", LinearRegression())
    make_vectorized(folder, "sklearn-logistic", LogisticRegression(max_iter=1000))
    make_vectorized(folder, "sklearn-gradient-boosting", GradientBoostingRegressor(**TREES))
    make_vectorized(folder, "sklearn-gradient-boosting-classifier", GradientBoostingClassifier(**TREES))
    make_dense(folder, "sklearn-forest", RandomForestRegressor(**TREES))
