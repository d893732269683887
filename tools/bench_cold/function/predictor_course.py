"""Loads the model as the course does: with MLflow, which supports models of any library."""

import mlflow


def load(path: str) -> object:
    return mlflow.pyfunc.load_model(path)
