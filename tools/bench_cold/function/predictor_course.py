"""The model as the course loads it: by MLflow, whatever library it is of."""

import mlflow


def load(path: str) -> object:
    return mlflow.pyfunc.load_model(path)
