"""Compares the errors that we expect without outcomes with those of NannyML's direct loss estimation, and with what they were.

    TRIPS_DIR=trips python3 tools/monitor/losses.py            (by `make monitor-peers`, which builds `tripcast` first)

A model of one month predicts two that both learn from, with outcomes, and six that both estimate, without. Prints a table in Markdown.
"""

import os
import shutil
import sys
import warnings
from pathlib import Path

import peers
from python_environment import Failure

TRAINED_ON = "2023-01"
KNOWN = ["2023-02", "2023-03"]
ESTIMATED = ["2023-04", "2023-05", "2023-06", "2023-07", "2023-08", "2023-09"]
# A run writes the figures of the last two months.
RUNS = ["2023-06-01", "2023-08-01", "2023-10-01"]
FEATURES = ["hour", *peers.NUMBERS[:2], *peers.CODES]


def main() -> int:
    try:
        peers.OURS.ensure()
        peers.OURS.reenter()
        os.environ.update({"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"})
        warnings.simplefilter("ignore")
        folder = peers.trips()
        work = peers.STATE / "losses"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        model = work / "duration.bin"
        train = ["--train", month(folder, TRAINED_ON), "--validate", month(folder, KNOWN[0]), "--out", model]
        peers.tripcast("train", "--target", "duration", "--family", "boosted", *train)
        ours = of_ours(folder, work, model)
        rows = predicted(folder, work, model)
        theirs = of_nannyml(rows)
    except Failure as failure:
        print(f"monitor-peers: {failure}", file=sys.stderr)
        return 1
    print("| month | NannyML 0.13.1, minutes | ours | difference | what it was |\n| --- | --: | --: | --: | --: |")
    for at, name in enumerate(ESTIMATED):
        these = rows[rows["month"] == name]
        real = (these["y_true"] - these["y_pred"]).abs().mean()
        print(f"| {name} | {theirs[at]:.3f} | {ours[name]:.3f} | {100 * (ours[name] / theirs[at] - 1):+.1f} % | {real:.3f} |")
    return 0


def month(folder: Path, name: str) -> Path:
    return folder / f"green_tripdata_{name}.parquet"


def of_ours(folder: Path, work: Path, model: Path) -> dict[str, float]:
    """Returns the mean of the daily estimates of each month, by rows. Nothing of ours sees an outcome of these months."""
    import pandas
    from pyarrow import parquet

    blind = work / "blind"
    blind.mkdir()
    for name in ESTIMATED:
        table = parquet.read_table(month(folder, name)).drop_columns(["lpep_dropoff_datetime"])
        parquet.write_table(table, month(blind, name))
    files = [*(month(folder, name) for name in KNOWN), *(month(blind, name) for name in ESTIMATED)]
    store, models = work / "store", work / "models"
    models.mkdir()
    peers.tripcast("monitor", "profile", "--data", store, "--model", model, *files)
    for day in RUNS:
        peers.tripcast("monitor", "run", "--data", store, "--models", models, "--day", day)
    figures = pandas.concat([pandas.read_parquet(file) for file in store.glob("metrics/month=*/batch.parquet")])
    figures = figures[figures["name"] == "expected_mae_min"].assign(month=lambda all: all["day"].astype(str).str[:7])
    return {name: (these["value"] * these["rows"]).sum() / these["rows"].sum() for name, these in figures.groupby("month")}


def predicted(folder: Path, work: Path, model: Path):
    """Returns the judged trips of all months with what was predicted and how long they took."""
    import pandas

    frames = []
    for name in KNOWN + ESTIMATED:
        out = work / "predicted.parquet"
        peers.tripcast("predict", "--model", model, "--input", month(folder, name), "--output", out)
        predictions, trips = pandas.read_parquet(out), pandas.read_parquet(month(folder, name))
        pickup = trips["lpep_pickup_datetime"]
        trips = trips.assign(
            y_true=(trips["lpep_dropoff_datetime"] - pickup).dt.total_seconds() / 60,
            y_pred=predictions["predicted_duration"].to_numpy(), timestamp=pickup, hour=pickup.dt.hour, month=name,
        )
        trips = trips[(pickup.dt.strftime("%Y-%m") == name) & trips["y_true"].between(1, 60)]
        frames.append(trips[["timestamp", "month", *FEATURES, "y_pred", "y_true"]])
    return pandas.concat(frames).dropna(subset=["y_pred", "y_true"])


def of_nannyml(rows) -> list[float]:
    import nannyml

    estimator = nannyml.DLE(
        feature_column_names=FEATURES, y_pred="y_pred", y_true="y_true", timestamp_column_name="timestamp",
        metrics=["mae"], chunk_period="M",
    )
    estimator.fit(rows[rows["month"].isin(KNOWN)].copy())
    results = estimator.estimate(rows[rows["month"].isin(ESTIMATED)].drop(columns="y_true").copy())
    return results.filter(period="analysis").to_df()[("mae", "value")].to_list()


if __name__ == "__main__":
    sys.exit(main())
