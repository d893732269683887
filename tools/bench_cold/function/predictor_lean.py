"""Loads the model as scikit-learn's documentation does."""

import joblib


def load(path: str) -> object:
    return joblib.load(f"{path}/pipeline.joblib")
