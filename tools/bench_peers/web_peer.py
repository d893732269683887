"""Serves the pair of LightGBM models of file_peer.py over HTTP, as people do in Python.

  uvicorn web_peer:app                        FastAPI: POST /predict takes a trip or an array of trips; models from WEB_PEER_MODELS
  python web_peer.py save --folder M --to D   the pair as a model of MLflow's, for `mlflow models serve`

Both answer with the duration and the probability of a tip. The features are those of file_peer.py.
"""

import argparse
import os
from datetime import datetime
from pathlib import Path

import numpy as np

STATED = ["PULocationID", "DOLocationID", "trip_distance", "VendorID", "RatecodeID", "passenger_count", "trip_type"]
MODELS = ("duration", "tip")


def boosters(folder: Path) -> list:
    import lightgbm

    return [lightgbm.Booster(model_file=folder / f"{name}.txt", params={"num_threads": 1}) for name in MODELS]


def scores(pair: list, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(model.predict(rows, num_threads=1) for model in pair)


def fastapi_app():
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Ride(BaseModel):
        PULocationID: int
        DOLocationID: int
        trip_distance: float | None = None
        VendorID: int | None = None
        RatecodeID: int | None = None
        passenger_count: int | None = None
        trip_type: int | None = None
        pickup_datetime: datetime | None = None

    def features(ride: Ride) -> list[float | None]:
        at = ride.pickup_datetime
        times = (at.hour, at.weekday(), at.hour * 4 + at.minute // 15) if at else (None, None, None)
        return [ride.PULocationID, ride.DOLocationID, ride.trip_distance, ride.VendorID, ride.RatecodeID, ride.passenger_count,
                ride.trip_type, *times]

    pair = boosters(Path(os.environ["WEB_PEER_MODELS"]))
    app = FastAPI()

    # A function that waits for nothing is cheapest on the event loop itself; on one core threads gain nothing.
    @app.post("/predict")
    async def predict(body: Ride | list[Ride]) -> dict | list[dict]:
        rides = body if isinstance(body, list) else [body]
        durations, tips = scores(pair, np.array([features(ride) for ride in rides], dtype="float32"))
        answers = [{"duration": minutes, "tip_probability": tip} for minutes, tip in zip(durations.tolist(), tips.tolist())]
        return answers if isinstance(body, list) else answers[0]

    @app.get("/health")
    async def health() -> dict:
        return {}

    return app


def save(folder: Path, to: Path) -> None:
    import mlflow.pyfunc
    import pandas

    class Pair(mlflow.pyfunc.PythonModel):
        def load_context(self, context) -> None:
            import lightgbm

            self.pair = [lightgbm.Booster(model_file=context.artifacts[name], params={"num_threads": 1}) for name in MODELS]

        def predict(self, context, model_input, params=None):
            at = pandas.to_datetime(model_input["pickup_datetime"]).dt
            rows = model_input[STATED].assign(hour=at.hour, weekday=at.weekday, quarter_hour=at.hour * 4 + at.minute // 15)
            duration, tip = (model.predict(rows.to_numpy(dtype="float32", na_value=np.nan), num_threads=1) for model in self.pair)
            return pandas.DataFrame({"duration": duration, "tip_probability": tip})

    artifacts = {name: str(folder / f"{name}.txt") for name in MODELS}
    mlflow.pyfunc.save_model(to, python_model=Pair(), artifacts=artifacts, pip_requirements=[])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    saving = parser.add_subparsers(required=True).add_parser("save")
    saving.add_argument("--folder", type=Path, required=True)
    saving.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    save(args.folder, args.to)
else:
    app = fastapi_app()
