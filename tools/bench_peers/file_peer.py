"""Predicts a file of trips as people do in Python: read by pandas, polars or DuckDB, scored by LightGBM, written as Parquet.

  train --months A.parquet,B.parquet --folder DIR --trees N,M --leaves N,M   models of durations and of tips into DIR
  predict pandas|polars|duckdb --file F --folder DIR --out F                 prints CPU time, wall time and memory as JSON

The features are the ten that cost least: numbers of the file, and three of the pickup time. Those of the product, with
geography and calendar, would take longer. pandas and polars read the whole file at once; DuckDB hands over batches.
"""

import argparse
import functools
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import measure
import numpy as np

PICKUP, DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"
STATED = ["PULocationID", "DOLocationID", "trip_distance", "VendorID", "RatecodeID", "passenger_count", "trip_type"]
MINUTES = (1.0, 60.0)
PAID_BY_CARD = 1
MODELS = ("duration", "tip")
THREADS = len(os.sched_getaffinity(0))
# The rows that DuckDB hands over at once; a few, so that memory does not grow with the file.
BATCH_ROWS = 131_072

Predict = Callable[[np.ndarray], dict[str, np.ndarray]]


def read_pandas(file: Path) -> tuple[np.ndarray, object]:
    import pandas

    trips = pandas.read_parquet(file, columns=[PICKUP, *STATED])
    at = trips[PICKUP].dt
    rows = trips[STATED].assign(hour=at.hour, weekday=at.weekday, quarter_hour=at.hour * 4 + at.minute // 15)
    return rows.to_numpy(dtype="float32", na_value=np.nan), trips


def write_pandas(trips, predictions: dict[str, np.ndarray], out: Path) -> None:
    trips.assign(**predictions).to_parquet(out)


def read_polars(file: Path) -> tuple[np.ndarray, object]:
    import polars

    trips = polars.read_parquet(file, columns=[PICKUP, *STATED])
    at = polars.col(PICKUP).dt
    times = [at.hour().alias("hour"), (at.weekday() - 1).alias("weekday"),
             (at.hour().cast(polars.Int32) * 4 + at.minute() // 15).alias("quarter_hour")]
    rows = trips.select([polars.col(name) for name in STATED] + times)
    return rows.select(polars.all().cast(polars.Float32)).fill_null(float("nan")).to_numpy(), trips


def write_polars(trips, predictions: dict[str, np.ndarray], out: Path) -> None:
    import polars

    trips.with_columns([polars.Series(name, values) for name, values in predictions.items()]).write_parquet(out)


def at_once(read: Callable, write: Callable, file: Path, predict: Predict, out: Path) -> int:
    rows, trips = read(file)
    write(trips, predict(rows), out)
    return len(rows)


def in_batches(file: Path, predict: Predict, out: Path) -> int:
    """Lets DuckDB compute the features in SQL and write what comes back, batch by batch."""
    import duckdb
    import pyarrow

    # DuckDB's weeks start with day 1, those of pandas with day 0.
    times = [f"hour({PICKUP})", f"isodow({PICKUP}) - 1", f"hour({PICKUP}) * 4 + minute({PICKUP}) // 15"]
    kept = [PICKUP, *STATED]
    features = [f"cast({value} as float) as feature_{number}" for number, value in enumerate(STATED + times)]
    connection = duckdb.connect(config={"threads": THREADS})
    query = f"select {', '.join(kept + features)} from read_parquet(?)"
    trips = connection.sql(query, params=[str(file)]).to_arrow_reader(batch_size=BATCH_ROWS)
    schema = pyarrow.schema([*map(trips.schema.field, kept), *((name, pyarrow.float64()) for name in MODELS)])

    def batches() -> Iterator[pyarrow.RecordBatch]:
        for batch in trips:
            # Missing values become NaN.
            rows = np.column_stack([column.to_numpy(zero_copy_only=False) for column in batch.columns[len(kept):]])
            yield pyarrow.record_batch([*batch.columns[:len(kept)], *map(pyarrow.array, predict(rows).values())], schema=schema)

    # A second cursor, because the first one is busy until its last batch is read.
    writing = connection.cursor()
    writing.register("predicted", pyarrow.RecordBatchReader.from_batches(schema, batches()))
    return writing.execute("copy predicted to ? (format parquet)", [str(out)]).fetchone()[0]


READERS = {
    "pandas": functools.partial(at_once, read_pandas, write_pandas),
    "polars": functools.partial(at_once, read_polars, write_polars),
    "duckdb": in_batches,
}


def train(args: argparse.Namespace) -> None:
    import lightgbm
    import pandas

    parts = []
    for file in args.months.split(","):
        labels = pandas.read_parquet(file, columns=[PICKUP, DROPOFF, "tip_amount", "payment_type"])
        minutes = (labels[DROPOFF] - labels[PICKUP]).dt.total_seconds().to_numpy() / 60
        kept = (minutes >= MINUTES[0]) & (minutes <= MINUTES[1])
        by_card = kept & (labels.payment_type == PAID_BY_CARD).to_numpy(dtype=bool, na_value=False)
        parts.append((read_pandas(Path(file))[0], minutes, (labels.tip_amount > 0).to_numpy(), kept, by_card))
    rows, minutes, tipped, kept, by_card = (np.concatenate(part) for part in zip(*parts))
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, trees, leaves, labels, chosen in zip(MODELS, args.trees, args.leaves, (minutes, tipped), (kept, by_card)):
        objective = "regression" if name == "duration" else "binary"
        settings = {"objective": objective, "num_leaves": leaves, "learning_rate": 0.1, "verbosity": -1}
        lightgbm.train(settings, lightgbm.Dataset(rows[chosen], labels[chosen]), trees).save_model(args.folder / f"{name}.txt")
    measure.tell(rows=len(rows))


def predict(args: argparse.Namespace) -> None:
    # Imported before the clock starts; a process that runs for one file pays for that, too.
    import lightgbm

    importlib.import_module(args.reader)

    def all_of_it() -> int:
        models = {name: lightgbm.Booster(model_file=args.folder / f"{name}.txt") for name in MODELS}
        return READERS[args.reader](
            args.file, lambda rows: {name: model.predict(rows, num_threads=THREADS) for name, model in models.items()}, args.out,
        )

    done = measure.once(all_of_it)
    measure.tell(cpu_s=done.cpu_s, wall_s=done.wall_s, rss_peak_mb=done.rss_peak_mb, rows=done.result)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    training = verbs.add_parser("train")
    training.add_argument("--months", required=True)
    training.add_argument("--trees", type=numbers, required=True)
    training.add_argument("--leaves", type=numbers, required=True)
    predicting = verbs.add_parser("predict")
    predicting.add_argument("reader", choices=READERS)
    predicting.add_argument("--file", type=Path, required=True)
    predicting.add_argument("--out", type=Path, required=True)
    for verb in (training, predicting):
        verb.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    {"train": train, "predict": predict}[args.verb](args)


if __name__ == "__main__":
    main()
