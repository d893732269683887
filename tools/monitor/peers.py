"""Compares the false alarms of our drift signal with those of Evidently, NannyML and river on the same days.

    TRIPS_DIR=trips python3 tools/monitor/peers.py            (`make monitor-peers`, which builds `tripcast` first; half an hour)

Each peer is set up as its documentation does: a reference of whole months before the first day that is judged, thresholds by default.
A day rings or not, falsely unless a real change of docs/replay-events.toml explains it; days that ring with fewer than eight days between
them are one alarm, so that a monitor which rings every day has one that never ends. Prints a table in Markdown.
"""

import datetime
import functools
import json
import os
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Iterator

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from product import tripcast  # noqa: E402
from python_environment import PROJECT, Environment, Failure  # noqa: E402

STATE = PROJECT / "target" / "monitor-peers"
OURS = Environment(STATE, HERE / "requirements.lock", "Evidently, NannyML and river (about 1.5 GB on disk)")
FROM, TO = "2023-01", "2025-07"
# The months that peers take for usual.
REFERENCE = ("2023-01", "2023-02", "2023-03")
COOLDOWN_DAYS = 7
DAYS_A_MONTH = 30.4
NUMBERS = ["trip_distance", "passenger_count", "hour"]
CODES = ["PULocationID", "DOLocationID", "VendorID", "RatecodeID"]

Day = datetime.date
# The rows of the reference, and those of each judged day.
REPLAY: dict = {}


def main() -> int:
    try:
        OURS.ensure()
        OURS.reenter()
        # Neither is to tell its makers of this.
        os.environ.update({"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"})
        warnings.simplefilter("ignore")
        folder = trips()
        ours, judged = of_ours(folder)
        REPLAY["rows"] = reference, days = read(folder, set(judged))
        rows = [("tripcast monitor", ours)]
        for name, ring in PEERS.items():
            print(f"monitor-peers: {name}", file=sys.stderr, flush=True)
            rows.append((name, list(ring(reference, days))))
    except Failure as failure:
        print(f"monitor-peers: {failure}", file=sys.stderr)
        return 1
    print("| | days that ring falsely, a month | false alarms a month |\n| --- | --: | --: |")
    months = len(days) / DAYS_A_MONTH
    for name, rang in rows:
        unexplained = [day for day in sorted(rang) if not explained(day)]
        print(f"| {name} | {len(unexplained) / months:.2f} | {len(alarms(unexplained)) / months:.2f} |")
    return 0


def trips() -> Path:
    if not os.environ.get("TRIPS_DIR"):
        raise Failure("TRIPS_DIR is the folder of whole months: make months fetches some")
    return Path(os.environ["TRIPS_DIR"])


def of_ours(folder: Path) -> tuple[list[Day], list[Day]]:
    """Returns the days on which our drift signal rings, and those on which it has a verdict."""
    replayed = json.loads(tripcast("--json", "monitor", "replay", "--trips", folder, "--from", FROM, "--to", TO, "--no-predictions"))
    verdicts = [(Day.fromisoformat(day["day"]), day["data"]["rings"]) for day in replayed["days_judged"]]
    return [day for day, rings in verdicts if rings], [day for day, rings in verdicts if rings is not None]


def read(folder: Path, judged: set[Day]):
    """Returns the rows of the reference, and those of each judged day."""
    import pandas

    def month(file: Path):
        frame = pandas.read_parquet(file)
        pickup = frame["lpep_pickup_datetime"]
        frame = frame[pickup.dt.strftime("%Y-%m") == file.stem[-7:]]
        return frame[["trip_distance", "passenger_count", *CODES]].assign(
            hour=frame["lpep_pickup_datetime"].dt.hour, day=frame["lpep_pickup_datetime"].dt.date,
        )

    files = sorted(folder.glob("green_tripdata_????-??.parquet"))
    files = [file for file in files if FROM <= file.stem[-7:] <= TO]
    reference = pandas.concat([month(file) for file in files if file.stem[-7:] in REFERENCE], ignore_index=True)
    days = {}
    for file in files:
        for day, rows in month(file).groupby("day"):
            if day in judged:
                days[day] = rows
    return reference, days


@functools.cache
def drifted(day: Day) -> tuple[float, int]:
    """Returns the share and the number of columns that Evidently calls drifted."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    reference, days = REPLAY["rows"]
    definition = DataDefinition(numerical_columns=NUMBERS, categorical_columns=CODES)
    before, now = (Dataset.from_pandas(rows[NUMBERS + CODES], definition) for rows in (reference, days[day]))
    found = Report([DataDriftPreset()]).run(now, before).dict()["metrics"]
    value = next(one["value"] for one in found if "DriftedColumnsCount" in one["metric_name"])
    return value["share"], value["count"]


def evidently_dataset(reference, days) -> Iterator[Day]:
    yield from (day for day in days if drifted(day)[0] >= 0.5)


def evidently_any(reference, days) -> Iterator[Day]:
    yield from (day for day in days if drifted(day)[1] >= 1)


def nannyml(reference, days) -> Iterator[Day]:
    """The error of a reconstruction by principal components, beyond three standard deviations of the reference's days."""
    import nannyml as nml
    import pandas

    def chunked(frame):
        return frame.assign(**{code: frame[code].astype("category") for code in CODES}, timestamp=pandas.to_datetime(frame["day"])).dropna()

    calculator = nml.DataReconstructionDriftCalculator(column_names=NUMBERS + CODES, timestamp_column_name="timestamp", chunk_period="D")
    calculator.fit(chunked(reference))
    results = calculator.calculate(chunked(pandas.concat(days.values(), ignore_index=True))).filter(period="analysis").to_df()
    starts = results[("chunk", "start_date")] if ("chunk", "start_date") in results else results[("chunk", "chunk", "start_date")]
    alerts = results[[column for column in results.columns if column[-1] == "alert"][0]]
    yield from (start.date() for start, alert in zip(starts, alerts) if alert)


def adwin(reference, days) -> Iterator[Day]:
    """ADWIN on each number, row after row; a day rings if any of them finds a change in it."""
    from river.drift import ADWIN

    detectors = {name: ADWIN() for name in NUMBERS}
    for name, detector in detectors.items():
        for value in reference[name].dropna():
            detector.update(float(value))
    for day, rows in days.items():
        rang = False
        for name, detector in detectors.items():
            for value in rows[name].dropna():
                detector.update(float(value))
                rang |= detector.drift_detected
        if rang:
            yield day


PEERS = {
    "Evidently 0.7.23, dataset rule": evidently_dataset,
    "Evidently 0.7.23, any column": evidently_any,
    "NannyML 0.13.1, reconstruction, mean +- 3 sd": nannyml,
    "river 0.26.1, ADWIN": adwin,
}


def explained(day: Day) -> bool:
    events = tomllib.loads((PROJECT / "docs" / "replay-events.toml").read_text())["event"]
    return any("data" in event["signals"] and str(event["from"]) <= str(day) <= str(event["to"]) for event in events)


def alarms(days: list[Day]) -> list[Day]:
    """Returns the first of days that ring with few days between them."""
    return [day for before, day in zip([None, *days], days) if before is None or (day - before).days > COOLDOWN_DAYS]


if __name__ == "__main__":
    sys.exit(main())
