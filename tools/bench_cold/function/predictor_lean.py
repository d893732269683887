"""The model as scikit-learn's own documentation loads it."""

import joblib


def load(path: str) -> object:
    return joblib.load(f"{path}/pipeline.joblib")
