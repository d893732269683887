"""Trains the course's model and saves it for both Python functions. It runs in the course's environment:

    train_course.py MONTH.parquet TREES COURSE_MODEL LEAN_MODEL
"""

import sys
from pathlib import Path

import joblib
import mlflow
import pandas
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.pipeline import make_pipeline


def main(month: str, trees: str, course: str, lean: str) -> None:
    trips = pandas.read_parquet(month)
    minutes = (trips.lpep_dropoff_datetime - trips.lpep_pickup_datetime).dt.total_seconds() / 60
    trips, minutes = trips[minutes.between(1, 60)], minutes[minutes.between(1, 60)]
    zones = trips.PULocationID.astype(str) + "_" + trips.DOLocationID.astype(str)
    rows = [{"PU_DO": pair, "trip_distance": miles} for pair, miles in zip(zones, trips.trip_distance)]
    # The depth and the leaf size are those of the course.
    forest = RandomForestRegressor(n_estimators=int(trees), max_depth=20, min_samples_leaf=10, random_state=0, n_jobs=-1)
    pipeline = make_pipeline(DictVectorizer(), forest).fit(rows, minutes)
    # Predicting one row at a time needs no thread pool.
    forest.n_jobs = None
    mlflow.sklearn.save_model(pipeline, course, serialization_format="cloudpickle")
    Path(lean).mkdir()
    joblib.dump(pipeline, f"{lean}/pipeline.joblib")


if __name__ == "__main__":
    main(*sys.argv[1:])
