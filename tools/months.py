"""Months of trips for a proof: real ones where they are, made-up ones elsewhere."""

import os
from pathlib import Path

from python_environment import PROJECT, run


def link_or_generate(tripcast: Path, into: Path, months: list[str]) -> None:
    """Green trips of `months` (yyyy-mm) in the folder `into`: from TRIPS_DIR, else ../shared/data, else made up."""
    trips = Path(os.environ.get("TRIPS_DIR") or PROJECT.parent / "shared" / "data")
    into.mkdir(parents=True)
    names = [f"green_tripdata_{month}.parquet" for month in months]
    if all((trips / name).exists() for name in names):
        for name in names:
            (into / name).symlink_to((trips / name).resolve())
        return
    wanted = [argument for month in months for argument in ("--month", month)]
    run("making months up", [str(tripcast), "data", "generate", "--rows", "20000", "--to", str(into), *wanted])
