"""Finds trips: the months in TRIPS_DIR if it is set, else the sample in this repository."""

import os
from dataclasses import dataclass
from pathlib import Path

from python_environment import PROJECT, Failure

SAMPLE = PROJECT / "tests" / "fixtures" / "trips"
MONTHS = ("2021-01", "2021-02", "2021-03")


@dataclass(frozen=True)
class Source:
    folder: Path
    # Description for display.
    about: str

    def file(self, month: str) -> Path:
        return self.folder / f"green_tripdata_{month}.parquet"


def find(months: tuple[str, ...] = MONTHS) -> Source:
    """Returns the source that has the given months (yyyy-mm), by default those of the sample."""
    own = os.environ.get("TRIPS_DIR")
    if not own:
        return Source(SAMPLE, f"10,000 real trips a month, the sample in {SAMPLE.relative_to(PROJECT)}")
    source = Source(Path(own).absolute(), f"trips from TRIPS_DIR ({own})")
    if missing := [source.file(month).name for month in months if not source.file(month).is_file()]:
        raise Failure(f"TRIPS_DIR={own} has no {', '.join(missing)}; without TRIPS_DIR the sample is taken")
    return source


def link(into: Path, months: tuple[str, ...] = MONTHS) -> None:
    """Creates the folder `into` with links to the months."""
    source = find(months)
    into.mkdir(parents=True)
    for month in months:
        file = source.file(month)
        (into / file.name).symlink_to(file.resolve())
