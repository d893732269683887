"""Makes the XGBoost fixtures. Predictions come from the written JSON, not from the booster in memory."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from sklearn.feature_extraction import DictVectorizer

from golden import write_fixture
from synthetic import COLUMNS, as_dicts, dict_rows, golden_rows, trips

BASE: dict[str, Any] = {"max_leaves": 12, "max_depth": 4, "eta": 0.3, "nthread": 1, "seed": 1, "tree_method": "hist"}
DART = {"booster": "dart", "rate_drop": 0.4, "one_drop": True}
FOREST = {"num_parallel_tree": 3, "subsample": 0.7, "colsample_bynode": 0.8}
NUMERICAL, CATEGORICAL = "q", "c"


def thresholds(text: str) -> dict[int, list[float]]:
    """Returns the thresholds of the numerical splits of a model of trees, by column."""
    found: dict[int, list[float]] = {}
    booster = json.loads(text)["learner"]["gradient_booster"]
    for tree in booster.get("gbtree", booster)["model"]["trees"]:
        for node, left in enumerate(tree["left_children"]):
            if left != -1 and tree["split_type"][node] == 0:
                found.setdefault(tree["split_indices"][node], []).append(tree["split_conditions"][node])
    return found


def _write(folder: Path, name: str, text: str, columns: list[str], rows: Any, matrix: xgboost.DMatrix,
           contributions: bool = True) -> None:
    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(text, "utf-8"))
    write_fixture(folder / f"{name}.json", text, f"xgboost {xgboost.__version__}", columns, rows,
                  raw=booster.predict(matrix, output_margin=True), prediction=booster.predict(matrix),
                  contributions=booster.predict(matrix, pred_contribs=True) if contributions else None)


def _text(booster: xgboost.Booster) -> str:
    return booster.save_raw("json").decode("utf-8")


def make(folder: Path, name: str, objective: str, n_rounds: int = 6, categorical: tuple[int, ...] = (),
         contributions: bool = True, **more: Any) -> None:
    data = trips(seed=1)
    label = data.tipped if objective.startswith("binary:") else data.duration
    types = [CATEGORICAL if column in categorical else NUMERICAL for column in range(len(COLUMNS))]
    named = {"feature_names": COLUMNS, "feature_types": types, "enable_categorical": bool(categorical), "nthread": 1}
    train = xgboost.DMatrix(data.features.astype(np.float32), label, **named)
    text = _text(xgboost.train({**BASE, **more, "objective": objective}, train, n_rounds))
    borders = {} if more.get("booster") == "gblinear" else thresholds(text)
    rows = golden_rows(borders, categorical)
    _write(folder, name, text, COLUMNS, rows, xgboost.DMatrix(rows.astype(np.float32), **named), contributions)


def make_sparse(folder: Path, name: str) -> None:
    """Makes a fixture with a DictVectorizer's sparse matrix, as in the course; absent entries are missing."""
    data = trips(seed=1, n_zones=20)
    vectorizer = DictVectorizer()
    train = xgboost.DMatrix(vectorizer.fit_transform(as_dicts(data.features)), data.duration, nthread=1)
    text = _text(xgboost.train({**BASE, "objective": "reg:squarederror"}, train, 6))
    rows = dict_rows(missing=True)
    given = [{key: float("nan") if value is None else value for key, value in row.items()} for row in rows]
    _write(folder, name, text, list(vectorizer.feature_names_), rows,
           xgboost.DMatrix(vectorizer.transform(given), nthread=1))


def make_all(folder: Path) -> None:
    """Makes the fixtures of the installed version: all from version 3; from version 2 those whose format differs."""
    if xgboost.__version__.startswith("2."):
        make(folder, "xgboost-v2-regression", "reg:squarederror")
        make(folder, "xgboost-v2-logistic", "binary:logistic")
        make(folder, "xgboost-v2-dart", "reg:squarederror", contributions=False, **DART)
        return
    make(folder, "xgboost-v3-regression", "reg:squarederror")
    make(folder, "xgboost-v3-logistic", "binary:logistic")
    make(folder, "xgboost-v3-categorical", "reg:squarederror", categorical=(0, 1, 4), max_cat_to_onehot=8)
    make(folder, "xgboost-v3-parallel-trees", "reg:squarederror", n_rounds=2, **FOREST)
    make(folder, "xgboost-v3-dart", "reg:squarederror", contributions=False, **DART)
    make(folder, "xgboost-v3-gblinear", "reg:squarederror", contributions=False, booster="gblinear",
         max_leaves=None, max_depth=None, tree_method=None)
    make_sparse(folder, "xgboost-v3-sparse")
