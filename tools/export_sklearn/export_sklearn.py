#!/usr/bin/env python3
"""Writes a fitted scikit-learn model as `tripcast-sklearn` JSON: its parameters, and golden rows with its predictions.

It runs in the Python that trained the model and needs only scikit-learn and numpy there. A pickle ties a model to one
version of Python and scikit-learn and runs code when it is loaded; the JSON is plain data, described in README.md.

    python3 export_sklearn.py --model model.pkl --rows golden_rows.json --output model.json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (ExtraTreesClassifier, ExtraTreesRegressor, GradientBoostingClassifier,
                              GradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor)
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.tree import (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)
from sklearn.utils.validation import check_is_fitted

FORMAT = "tripcast-sklearn"
VERSION = 1
LINEAR = (LinearRegression, Ridge, Lasso, LogisticRegression)
TREE = (DecisionTreeRegressor, DecisionTreeClassifier)
FOREST = (RandomForestRegressor, ExtraTreesRegressor, RandomForestClassifier, ExtraTreesClassifier)
BOOSTED = (GradientBoostingRegressor, GradientBoostingClassifier)
SUPPORTED = LINEAR + TREE + FOREST + BOOSTED
# A subclass may predict differently from its base, so only these exact classes are accepted.
EXACT = set(SUPPORTED) | {ExtraTreeRegressor, ExtraTreeClassifier}
# Replaces an infinite threshold, which JSON cannot represent; no finite f32 is above this number either.
LARGEST = sys.float_info.max

Row = Mapping[str, Any]
Column = Mapping[str, str]


class ExportError(Exception):
    """An error that says why a model cannot be exported."""


def export(model: Any, vectorizer: DictVectorizer | None = None,
           golden_rows: Sequence[Row] | None = None) -> dict[str, Any]:
    """Returns the JSON document of `model`, ready for `json.dumps(..., allow_nan=False)`.

    `model` is an estimator, a `Pipeline` of a `DictVectorizer` and an estimator, or a tuple `(vectorizer, estimator)`.
    `golden_rows` are input rows (before the vectorizer); each is stored with its prediction.
    """
    vectorizer, estimator = _parts(model, vectorizer)
    _check_supported(estimator)
    columns = _columns(estimator, vectorizer)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "source": {"library": "scikit-learn", "version": sklearn.__version__, "estimator": type(estimator).__name__},
        "columns": columns,
    }
    document.update(_linear(estimator) if isinstance(estimator, LINEAR) else _trees(estimator))
    if len(document.get("coefficients", columns)) != len(columns):
        raise ExportError(f"the model has {len(document['coefficients'])} coefficients "
                          f"and the vectorizer {len(columns)} columns: they were not fitted together")
    document["golden"] = _golden(estimator, vectorizer, columns, golden_rows or [])
    return document


def _parts(model: Any, vectorizer: DictVectorizer | None) -> tuple[DictVectorizer | None, Any]:
    """Returns the vectorizer, if there is one, and the estimator behind it."""
    if isinstance(model, Pipeline):
        parts = [step for _, step in model.steps if step is not None and step != "passthrough"]
    elif isinstance(model, (tuple, list)):
        parts = list(model)
    else:
        parts = [model]
    if len(parts) == 2 and isinstance(parts[0], DictVectorizer):
        if vectorizer is not None:
            raise ExportError("the model file already holds a DictVectorizer: leave out the other one")
        return parts[0], parts[1]
    if len(parts) != 1:
        names = ", ".join(type(part).__name__ for part in parts)
        raise ExportError(f"only a DictVectorizer may come before the estimator, not: {names}")
    if vectorizer is not None and not isinstance(vectorizer, DictVectorizer):
        raise ExportError(f"the vectorizer is a {type(vectorizer).__name__}, only DictVectorizer is supported")
    return vectorizer, parts[0]


def _check_supported(estimator: Any) -> None:
    """Refuses every model that the format cannot represent exactly."""
    name = type(estimator).__name__
    if type(estimator) not in EXACT:
        supported = ", ".join(sorted(kind.__name__ for kind in SUPPORTED))
        raise ExportError(f"{name} is not supported; supported are: {supported}")
    try:
        check_is_fitted(estimator)
    except ValueError as error:
        raise ExportError(f"{name} is not fitted") from error
    classes = getattr(estimator, "classes_", None)
    if classes is not None and (getattr(estimator, "n_outputs_", 1) != 1 or len(classes) != 2):
        raise ExportError(f"{name} must tell exactly two classes apart")
    if getattr(estimator, "n_outputs_", 1) != 1 or np.size(getattr(estimator, "intercept_", 0.0)) != 1:
        raise ExportError(f"{name} predicts more than one number for a row")
    if getattr(estimator, "multi_class", None) == "multinomial":
        raise ExportError("LogisticRegression with multi_class='multinomial' is not supported: fit it without")
    if isinstance(estimator, GradientBoostingClassifier) and estimator.loss == "exponential":
        raise ExportError("GradientBoostingClassifier with loss='exponential' is not supported, only log_loss")
    if isinstance(estimator, BOOSTED) and not (
            estimator.init in (None, "zero") or type(estimator.init) in (DummyRegressor, DummyClassifier)):
        raise ExportError(f"{name} with init={type(estimator.init).__name__} is not supported, only a constant init")


def _columns(estimator: Any, vectorizer: DictVectorizer | None) -> list[Column]:
    """Returns the source of each input column of the estimator, in its order.

    A one-hot column of the vectorizer is named `<source><separator><value>` and is divided at the first separator;
    `_golden` detects when that is wrong because the name of a source column contains the separator.
    """
    n_columns = int(estimator.n_features_in_)
    if vectorizer is None:
        names = getattr(estimator, "feature_names_in_", [f"x{position}" for position in range(n_columns)])
        return [{"name": str(name)} for name in names]
    check_is_fitted(vectorizer)
    if len(vectorizer.feature_names_) != n_columns:
        raise ExportError(f"the model has {n_columns} input columns and the vectorizer makes "
                          f"{len(vectorizer.feature_names_)}: they were not fitted together")
    columns = []
    for feature in vectorizer.feature_names_:
        name, separator, value = feature.partition(vectorizer.separator)
        columns.append({"name": name, "equals": value} if separator else {"name": name})
    return columns


def _link(estimator: Any) -> str:
    """Returns the link from raw score to prediction; a forest of classifiers already averages probabilities."""
    return "logistic" if isinstance(estimator, (LogisticRegression, GradientBoostingClassifier)) else "identity"


def _linear(estimator: Any) -> dict[str, Any]:
    return {
        "kind": "linear",
        "link": _link(estimator),
        "intercept": float(np.ravel(estimator.intercept_)[0]),
        "coefficients": np.ravel(estimator.coef_).astype(np.float64).tolist(),
    }


def _trees(estimator: Any) -> dict[str, Any]:
    """Returns the trees in the order in which they are summed, and how their sum is combined and linked."""
    if isinstance(estimator, BOOSTED):
        # A private method, but the only one that gives the constant on the scale that the trees add to.
        nothing = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
        base = float(np.ravel(estimator._raw_predict_init(nothing))[0])
        trees, combine, rate = list(estimator.estimators_[:, 0]), "sum", float(estimator.learning_rate)
    else:
        trees = list(estimator.estimators_) if isinstance(estimator, FOREST) else [estimator]
        base, combine, rate = 0.0, "mean", 1.0
    # Gradient boosting refuses rows with missing values, whatever its trees would do with them.
    missing = not isinstance(estimator, BOOSTED)
    return {
        "kind": "trees",
        "link": _link(estimator),
        "combine": combine,
        "base": base,
        "learning_rate": rate,
        "trees": [_tree(tree, missing) for tree in trees],
    }


def _tree(estimator: Any, missing: bool) -> dict[str, Any]:
    """Returns one tree as scikit-learn stores it: parallel arrays over its nodes, the root first."""
    tree = estimator.tree_
    nodes = {
        "feature": tree.feature.tolist(),
        "threshold": [threshold if math.isfinite(threshold) else LARGEST for threshold in tree.threshold.tolist()],
        "left": tree.children_left.tolist(),
        "right": tree.children_right.tolist(),
        "value": _leaf_values(estimator).tolist(),
    }
    if missing and "missing_go_to_left" in (tree.__getstate__()["nodes"].dtype.names or ()):
        flags = tree.__getstate__()["nodes"]["missing_go_to_left"]
        nodes["missing_left"] = [bool(flag) for flag in flags]
    return nodes


def _leaf_values(estimator: Any) -> np.ndarray:
    """Returns what each node predicts: for a classifier, the share of its second class.

    Before scikit-learn 1.3 the tree holds counts instead of shares.
    """
    value = estimator.tree_.value[:, 0, :]
    if not hasattr(estimator, "classes_"):
        return value[:, 0]
    total = value.sum(axis=1)
    return value[:, 1] if np.allclose(total, 1.0, rtol=0.0, atol=1e-9) else value[:, 1] / total


def _golden(estimator: Any, vectorizer: DictVectorizer | None, columns: list[Column],
            rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns each row with the library's prediction, so that an importer can check that it predicts the same."""
    if not rows:
        return []
    encoded = np.array([encode(row, columns, one_hot=vectorizer is not None) for row in rows], dtype=np.float64)
    given: Any = encoded
    if vectorizer is not None:
        given = vectorizer.transform([{name: _number(value) for name, value in row.items()} for row in rows])
        dense = given.toarray() if hasattr(given, "toarray") else np.asarray(given)
        if not np.array_equal(dense, encoded, equal_nan=True):
            raise ExportError(f"the vectorizer encodes a golden row in another way than its column names say: "
                              f"no source column may have {vectorizer.separator!r} in its name")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*valid feature names.*")
        try:
            answers = (estimator.predict_proba(given)[:, 1] if hasattr(estimator, "classes_")
                       else np.ravel(estimator.predict(given)))
        except ValueError as error:
            raise ExportError(f"the model cannot predict the golden rows: {str(error).splitlines()[0]}") from error
    return [{"row": {name: _json_value(value) for name, value in row.items()}, "prediction": float(answer)}
            for row, answer in zip(rows, answers)]


def encode(row: Row, columns: Sequence[Column], one_hot: bool) -> list[float]:
    """Returns the model's input for `row` by the format's rules: an absent value is 0 behind a vectorizer, else NaN."""
    absent = 0.0 if one_hot else math.nan
    values = []
    for column in columns:
        value = _number(row.get(column["name"], absent))
        if "equals" in column:
            values.append(1.0 if value == column["equals"] else 0.0)
        elif isinstance(value, str):
            if not one_hot:
                raise ExportError(f"golden row: {column['name']} must be a number, not {value!r}")
            values.append(0.0)
        else:
            values.append(float(value))
    return values


def _number(value: Any) -> Any:
    """Converts None to NaN, the library's missing value; returns any other value unchanged."""
    return math.nan if value is None else value


def _json_value(value: Any) -> Any:
    """Converts a value of a golden row for JSON."""
    if value is None or isinstance(value, (str, bool)):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ExportError(f"golden row: {value!r} is neither a number nor a string") from error
    if math.isinf(number):
        raise ExportError("golden row: infinite values are not supported")
    return None if math.isnan(number) else number


def _load(path: Path) -> Any:
    try:
        return joblib.load(path)
    except OSError as error:
        raise ExportError(f"cannot read {path}: {error}") from error
    except Exception as error:  # An unpickler raises whatever the pickled classes raise.
        reason = f"{type(error).__name__}: {error}"
        raise ExportError(f"{path} is no pickle or joblib file of a model ({reason})") from error


def _load_rows(path: Path) -> list[Row]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot read {path}: {error}") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ExportError(f"{path}: expected a JSON list of objects, one for each row, and at least one")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="pickle or joblib file of the fitted model")
    parser.add_argument("--vectorizer", type=Path, help="pickle of its DictVectorizer, if the model's file has none")
    parser.add_argument("--output", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--rows", type=Path, help="JSON list of rows, stored with the model's predictions for them")
    parser.add_argument("--no-golden", action="store_true", help="write none; the importer will ask for them elsewhere")
    args = parser.parse_args()
    try:
        if (args.rows is None) != args.no_golden:
            raise ExportError("give golden rows with --rows, or say --no-golden")
        rows = None if args.no_golden else _load_rows(args.rows)
        vectorizer = None if args.vectorizer is None else _load(args.vectorizer)
        document = export(_load(args.model), vectorizer, rows)
        args.output.write_text(json.dumps(document, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    except (ExportError, OSError) as error:
        sys.exit(f"export_sklearn: {error}")
    print(f"{args.output}  {document['source']['estimator']}, {len(document['columns'])} columns, "
          f"{len(document['golden'])} golden rows")


if __name__ == "__main__":
    main()
