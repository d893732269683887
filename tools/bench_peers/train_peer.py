"""Trains one library once, in its own process, and prints its time, memory and test error as JSON.

All libraries grow trees leaf by leaf over at most 255 bins (XGBoost 256), at least 20 rows in a leaf, no
regularization; the suite sets the number of trees, their leaves, the rate, and the share of the features that each split
chooses from. The time includes binning: from the f32
matrix to the model.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import data
import measure
import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]
LIGHTGBM_OBJECTIVE = {"squared": "regression", "logistic": "binary"}
XGBOOST_OBJECTIVE = {"squared": "reg:squarederror", "logistic": "binary:logistic"}
# XGBoost limits a leaf's sum of hessians, not its rows: a row adds 1 for squared error, and at most 1/4 for log-loss.
XGBOOST_LEAF_MIN = {"squared": 20, "logistic": 5}


def lightgbm(x: np.ndarray, y: np.ndarray, args: argparse.Namespace) -> Predict:
    import lightgbm as library

    parameters = {
        "objective": LIGHTGBM_OBJECTIVE[args.objective], "num_leaves": args.leaves, "learning_rate": args.learning_rate,
        "max_bin": 255, "min_data_in_leaf": 20, "num_threads": 1, "deterministic": True, "verbosity": -1,
        "feature_fraction_bynode": args.node_features, "seed": args.seed,
        # The faster of LightGBM's two methods on this data; by default it would spend time on trying both.
        "force_col_wise": True,
    }
    model = library.train(parameters, library.Dataset(x, y, params=parameters), args.rounds)
    if args.save:
        model.save_model(args.save)
    return lambda rows: model.predict(rows, num_threads=1)


def xgboost(x: np.ndarray, y: np.ndarray, args: argparse.Namespace) -> Predict:
    import xgboost as library

    parameters = {
        "objective": XGBOOST_OBJECTIVE[args.objective], "tree_method": "hist", "grow_policy": "lossguide",
        "max_leaves": args.leaves, "max_depth": 0, "max_bin": 256, "eta": args.learning_rate, "lambda": 0,
        "min_child_weight": XGBOOST_LEAF_MIN[args.objective], "nthread": 1, "verbosity": 0,
        "colsample_bynode": args.node_features, "seed": args.seed,
    }
    binned = library.QuantileDMatrix(x, label=y, max_bin=256, nthread=1)
    model = library.train(parameters, binned, args.rounds)
    if args.save:
        model.save_model(args.save)
    return model.inplace_predict


def scikit_learn(x: np.ndarray, y: np.ndarray, args: argparse.Namespace) -> Predict:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    settings = {
        "max_iter": args.rounds, "max_leaf_nodes": args.leaves, "learning_rate": args.learning_rate, "max_bins": 255,
        "min_samples_leaf": 20, "l2_regularization": 0.0, "early_stopping": False,
        "max_features": args.node_features, "random_state": args.seed,
    }
    if args.objective == "squared":
        return HistGradientBoostingRegressor(**settings).fit(x, y).predict
    model = HistGradientBoostingClassifier(**settings).fit(x, y)
    return lambda rows: model.predict_proba(rows)[:, 1]


RIVALS = {"lightgbm": lightgbm, "xgboost": xgboost, "scikit-learn": scikit_learn}
MODULES = {"lightgbm": "lightgbm", "xgboost": "xgboost", "scikit-learn": "sklearn.ensemble"}


def error(objective: str, predicted: np.ndarray, actual: np.ndarray) -> float:
    """Returns the root mean squared error or the mean log-loss, computed in f64 for all libraries."""
    predicted, actual = predicted.astype(np.float64), actual.astype(np.float64)
    if objective == "squared":
        return float(np.sqrt(np.mean((predicted - actual) ** 2)))
    sure = np.clip(predicted, 1e-15, 1 - 1e-15)
    return float(-np.mean(actual * np.log(sure) + (1 - actual) * np.log(1 - sure)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rival", choices=RIVALS)
    for name in ("--x", "--y", "--test-x", "--test-y"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--objective", choices=("squared", "logistic"), required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--leaves", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--features", type=int, required=True, metavar="N", help="columns of the rows")
    parser.add_argument("--columns", type=int, metavar="N", help="learn from the first columns only")
    parser.add_argument("--node-features", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path, help="keep the model here, in its library's own format; such a run's time means nothing")
    return parser.parse_args()


def rows(file: Path, args: argparse.Namespace) -> np.ndarray:
    return np.ascontiguousarray(data.read_rows(file, args.features)[:, :args.columns])


def main() -> None:
    args = arguments()
    # Imported before the clock starts, because loading the library is not part of training.
    __import__(MODULES[args.rival])
    x, y = rows(args.x, args), data.read_column(args.y)
    done = measure.once(lambda: RIVALS[args.rival](x, y, args))
    predicted = np.asarray(done.result(rows(args.test_x, args)))
    measure.tell(
        cpu_s=done.cpu_s, wall_s=done.wall_s, rss_before_mb=done.rss_before_mb, rss_peak_mb=done.rss_peak_mb,
        error=error(args.objective, predicted, data.read_column(args.test_y)),
    )


if __name__ == "__main__":
    main()
