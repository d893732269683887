"""Reads real green taxi trips as the benchmark's rows: whole months from TRIPS_DIR."""

import os
from pathlib import Path

import numpy as np
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from failure import Failure
from generated import Trips

PICKUP, DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"
# Columns in the order of the features; hour, weekday and quarter hour come between the two groups.
BEFORE_TIME = ("PULocationID", "DOLocationID", "trip_distance")
AFTER_TIME = ("VendorID", "RatecodeID", "passenger_count", "trip_type")
PAID_BY_CARD = 1
MINUTES = (1, 60)
SECONDS_A_DAY = 86_400
# 1970-01-01 was a Thursday; Monday is 0.
WEEKDAY_OF_EPOCH = 3


def folder() -> Path:
    """Returns the folder of the months; raises a Failure if there is none."""
    own = os.environ.get("TRIPS_DIR")
    if not own:
        raise Failure("TRIPS_DIR is not set: `make months` fetches whole months")
    if not Path(own).is_dir():
        raise Failure(f"TRIPS_DIR={own} is no folder")
    return Path(own).absolute()


def trips(months: Path, month: str, card_only: bool) -> Trips:
    """Reads the trips of a month that took 1 to 60 minutes; missing values are NaN."""
    file = months / f"green_tripdata_{month}.parquet"
    if not file.is_file():
        raise Failure(f"there is no {file.name} among the real months")
    table = parquet.read_table(file, columns=[PICKUP, DROPOFF, *BEFORE_TIME, *AFTER_TIME, "tip_amount", "payment_type"])
    pickup = microseconds(table, PICKUP) // 1_000_000
    minutes = (microseconds(table, DROPOFF) // 1_000_000 - pickup) / 60
    kept = (minutes >= MINUTES[0]) & (minutes <= MINUTES[1])
    if card_only:
        kept &= numbers(table, "payment_type") == PAID_BY_CARD
    x = np.column_stack([
        *(numbers(table, name) for name in BEFORE_TIME), *times(pickup), *(numbers(table, name) for name in AFTER_TIME),
    ])
    tipped = numbers(table, "tip_amount") > 0
    return Trips(*(column[kept].astype(np.float32) for column in (x, minutes, tipped)))


def times(pickup: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the hour, the weekday and the quarter hour of the day."""
    second = pickup % SECONDS_A_DAY
    return second // 3600, (pickup // SECONDS_A_DAY + WEEKDAY_OF_EPOCH) % 7, second // 900


def microseconds(table, name: str) -> np.ndarray:
    return table[name].cast("timestamp[us]").cast("int64").to_numpy()


def numbers(table, name: str) -> np.ndarray:
    return compute.fill_null(table[name].cast("float64"), float("nan")).to_numpy()
