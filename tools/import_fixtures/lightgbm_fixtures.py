"""Makes the LightGBM fixtures. Predictions come from the written text, not from the booster in memory."""

from pathlib import Path
from typing import Any

import lightgbm

from golden import write_fixture
from synthetic import COLUMNS, golden_rows, trips

BASE: dict[str, Any] = {
    "num_leaves": 12, "learning_rate": 0.3, "min_data_in_leaf": 20, "seed": 1, "deterministic": True,
    "force_row_wise": True, "num_threads": 1, "verbose": -1,
}
CATEGORICAL = {"min_data_per_group": 20, "cat_smooth": 5.0, "cat_l2": 1.0, "max_cat_to_onehot": 4}
FOREST = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7, "feature_fraction": 0.8}


def thresholds(text: str) -> dict[int, list[float]]:
    """Returns the thresholds of the numerical splits of a model, by column."""
    found: dict[int, list[float]] = {}
    features: list[str] = []
    values: list[str] = []
    for line in text.splitlines():
        name, _, rest = line.partition("=")
        if name == "split_feature":
            features = rest.split()
        elif name == "threshold":
            values = rest.split()
        elif name == "decision_type":
            for feature, value, decision in zip(features, values, rest.split()):
                if not int(decision) & 1:
                    found.setdefault(int(feature), []).append(float(value))
    return found


def make(folder: Path, name: str, objective: str, n_trees: int = 6, categorical: tuple[int, ...] = (),
         contributions: bool = True, hours_from: int = 0, **more: Any) -> None:
    """Makes one fixture. `hours_from` is subtracted from the hours: with negative hours, LightGBM gives zero a bin of
    its own, with thresholds at +-1e-35.
    """
    data = trips(seed=1)
    data.features[:, 3] -= hours_from
    label = data.tipped if objective in ("binary", "cross_entropy") else data.duration
    train = lightgbm.Dataset(data.features, label, feature_name=COLUMNS, categorical_feature=list(categorical),
                             free_raw_data=False)
    booster = lightgbm.train({**BASE, **more, "objective": objective}, train, num_boost_round=n_trees)
    text = booster.model_to_string()
    written = lightgbm.Booster(model_str=text)
    # A linear leaf multiplies feature values, so an infinite value has no finite prediction.
    rows = golden_rows(thresholds(text), categorical, infinities=not more.get("linear_tree"))
    write_fixture(folder / f"{name}.txt", text, f"lightgbm {lightgbm.__version__}", COLUMNS, rows,
                  raw=written.predict(rows, raw_score=True), prediction=written.predict(rows),
                  contributions=written.predict(rows, pred_contrib=True) if contributions else None)


def make_all(folder: Path) -> None:
    """Makes the fixtures of the installed version: all from version 4, one regression from version 3."""
    if lightgbm.__version__.startswith("3."):
        make(folder, "lightgbm-v3-regression", "regression")
        return
    make(folder, "lightgbm-v4-regression", "regression")
    make(folder, "lightgbm-v4-binary", "binary")
    make(folder, "lightgbm-v4-signed", "regression", hours_from=7)
    make(folder, "lightgbm-v4-categorical", "regression", categorical=(0, 1), **CATEGORICAL)
    make(folder, "lightgbm-v4-zero-as-missing", "regression", contributions=False, zero_as_missing=True)
    make(folder, "lightgbm-v4-no-missing", "regression", use_missing=False)
    make(folder, "lightgbm-v4-rf", "regression", **FOREST)
    make(folder, "lightgbm-v4-linear-tree", "regression", n_trees=3, num_leaves=4, contributions=False,
         linear_tree=True)
    make(folder, "lightgbm-single-leaf", "regression", n_trees=3, min_data_in_leaf=5000)
