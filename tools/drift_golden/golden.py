#!/usr/bin/env python3
"""Writes the values that Evidently and scipy compute, which our statistics of drift have to equal.

  python3 -m venv venv && venv/bin/pip install --require-hashes -r requirements.lock
  venv/bin/python3 golden.py

The distributions are made up with a fixed seed, in the shapes of real columns: skewed distances, codes, few rows, values that one side lacks.
"""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests import registry
from evidently.legacy.calculations.stattests.chisquare_stattest import _chi_stat_test
from evidently.legacy.calculations.stattests.hellinger_distance import _hellinger_distance
from evidently.legacy.calculations.stattests.jensenshannon import _jensenshannon
from evidently.legacy.calculations.stattests.ks_stattest import _ks_stat_test
from evidently.legacy.calculations.stattests.psi import _psi
from evidently.legacy.calculations.stattests.wasserstein_distance_norm import _wasserstein_distance_norm
from evidently.legacy.calculations.stattests.z_stattest import _z_stat_test
from evidently.legacy.core import ColumnType
from scipy import stats

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "monitoring" / "src" / "drift" / "golden.json"
RANDOM = np.random.default_rng(7)
ANY = {
    "wasserstein": _wasserstein_distance_norm, "jensen_shannon": _jensenshannon, "psi": _psi, "hellinger": _hellinger_distance,
}


def miles(rows: int, scale: float) -> np.ndarray:
    return np.round(np.minimum(RANDOM.gamma(1.6, scale, rows), 60), 2)


def codes(rows: int, shares: list[float]) -> np.ndarray:
    return RANDOM.choice(len(shares), rows, p=np.array(shares) / sum(shares)).astype(float)


PAIRS = [
    ("miles", "num", miles(5000, 1.7), miles(3000, 1.9)),
    ("the same miles", "num", (same := miles(4000, 1.7)), same.copy()),
    ("few miles", "num", miles(300, 1.7), miles(280, 2.4)),
    ("few miles of as many rows", "num", miles(200, 1.7), miles(200, 1.8)),
    ("one far value", "num", miles(2000, 1.7), np.append(miles(2000, 1.7), 46826.0)),
    ("hours", "num", codes(4000, [1] * 24), codes(4000, [1] * 12 + [2] * 12)),
    ("zones", "cat", codes(6000, [1 / (1 + zone) for zone in range(263)]), codes(5000, [1 / (3 + zone) for zone in range(263)])),
    ("vendors, one new", "cat", codes(5000, [0, 1, 5]), codes(4000, [0, 1, 5, 0, 0, 0, 0.2])),
    ("rate codes, few rows", "cat", codes(400, [0, 90, 3, 1, 1, 5]), codes(500, [0, 80, 6, 2, 1, 9])),
    ("trip types, few rows", "cat", codes(600, [0, 97, 3]), codes(500, [0, 94, 6])),
    ("a constant", "cat", np.ones(500), np.ones(300)),
    ("a number of three values", "num", codes(900, [3, 2, 1]), codes(800, [3, 2, 2])),
]


def counted(values: np.ndarray) -> list[list[float]]:
    distinct, rows = np.unique(values, return_counts=True)
    return [[float(value), int(n)] for value, n in zip(distinct, rows)]


def figures(kind: str, reference: np.ndarray, current: np.ndarray) -> dict:
    of, columns = ColumnType(kind), lambda: (pd.Series(reference.copy()), pd.Series(current.copy()))
    known = {name: float(call(*columns(), of, 0.1)[0]) for name, call in ANY.items()}
    statistic, p = stats.ks_2samp(reference, current)
    known["ks"] = [float(statistic), float(p)]
    assert abs(_ks_stat_test(*columns(), of, 0.05)[0] - p) < 1e-12
    values = np.union1d(reference, current)
    if len(values) > 1 and np.isin(current, reference).all():
        expected = np.array([(reference == value).sum() for value in values]) * len(current) / len(reference)
        statistic, p = stats.chisquare([(current == value).sum() for value in values], expected)
        known["chi_square"] = [float(statistic), float(p)]
        assert abs(_chi_stat_test(*columns(), of, 0.05)[0] - p) < 1e-12
    if len(values) <= 2:
        known["proportions_p"] = float(_z_stat_test(*columns(), of, 0.05)[0])
    chosen = registry._get_default_stattest(*columns(), of)
    known["default"] = chosen.name
    return known


def main() -> None:
    versions = {name: importlib.metadata.version(name) for name in ("evidently", "scipy", "numpy", "pandas")}
    pairs = [
        {"name": name, "kind": kind, "reference": counted(one), "current": counted(other), "figures": figures(kind, one, other)}
        for name, kind, one, other in PAIRS
    ]
    # One pair a line, so that a change shows which.
    lines = ",\n".join(json.dumps(pair, separators=(",", ":")) for pair in pairs)
    GOLDEN.write_text(f'{{"versions":{json.dumps(versions)},"pairs":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
