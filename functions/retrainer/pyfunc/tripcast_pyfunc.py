"""Answers of a tripcast model from its ONNX file: needs numpy, pandas and onnxruntime, and nothing of tripcast.

Takes the course's DataFrame, one trip a row: PULocationID, DOLocationID, trip_distance (miles) and pickup_datetime (text or
datetime, New York local; lpep_pickup_datetime and tpep_pickup_datetime count too). VendorID, RatecodeID, passenger_count and
trip_type may be there. Only the two zones must be; whatever else is missing is missing.
"""

import numpy as np
import onnxruntime
import pandas as pd

TIMES = ("pickup_datetime", "lpep_pickup_datetime", "tpep_pickup_datetime")
ZONES = ("PULocationID", "DOLocationID")
OPTIONAL = ("trip_distance", "VendorID", "RatecodeID", "passenger_count", "trip_type")


class TripcastModel:
    def __init__(self, path: str):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]

    def predict(self, model_input, params=None) -> pd.DataFrame:
        trips = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        missing = [zone for zone in ZONES if zone not in trips.columns]
        if missing:
            raise ValueError(f"missing columns: {', '.join(missing)}; expected {', '.join(ZONES)} and, where known, "
                             f"pickup_datetime, {', '.join(OPTIONAL)}")
        answers = self.session.run(self.outputs, columns(trips))
        return pd.DataFrame(dict(zip(self.outputs, answers)), index=trips.index)


def columns(trips: pd.DataFrame) -> dict:
    """The columns that the graph asks for: zones and times as int64, the others as float32 with NaN for missing."""
    found = {zone: number(trips[zone]).fillna(0).astype(np.int64).to_numpy() for zone in ZONES}
    for name in OPTIONAL:
        value = number(trips[name]) if name in trips.columns else pd.Series(np.nan, index=trips.index)
        found[name] = value.astype(np.float32).to_numpy()
    time = next((trips[name] for name in TIMES if name in trips.columns), pd.Series(pd.NaT, index=trips.index))
    # Each row in its own form: with or without T, with or without seconds.
    time = pd.to_datetime(time, errors="coerce", format="ISO8601").dt
    for part in ("year", "month", "day", "hour", "minute"):
        # A year of 0 says that the time is not known; the other parts are then not looked at.
        found[part] = getattr(time, part).fillna(0).astype(np.int64).to_numpy()
    return found


def number(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce")


def _load_pyfunc(data_path: str) -> TripcastModel:
    return TripcastModel(data_path)
