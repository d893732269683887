#!/usr/bin/env python3
"""Writes what NannyML expects of given probabilities of a tip, which our estimates have to equal.

  python3 -m venv venv && venv/bin/pip install nannyml==0.13.1 && venv/bin/python3 expected.py
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from nannyml.performance_estimation.confidence_based import metrics

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "monitoring" / "src" / "watch" / "expected_golden.json"
RANDOM = np.random.default_rng(11)
CASES = [RANDOM.beta(6, 2, 400), np.round(RANDOM.beta(2, 2, 300), 2), np.array([0.2, 0.8, 0.8, 0.5, 0.01, 0.99])]


def main() -> None:
    cases = []
    for values in CASES:
        values = np.round(values, 6)
        p = pd.Series(values)
        auc = metrics.estimate_roc_auc(p, p)
        accuracy = metrics.estimate_accuracy(pd.Series((values >= 0.5).astype(int)), p)
        cases.append({"probabilities": values.tolist(), "roc_auc": float(auc), "accuracy": float(accuracy)})
    GOLDEN.write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
