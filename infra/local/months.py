"""Where the demo's trips come from: the user's folder, the one beside the checkout, the TLC, or thin air."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from environment import PROJECT, Failure

TRIPCAST = PROJECT / "target" / "release" / "tripcast"
BESIDE = PROJECT.parent / "shared" / "data"
FETCHED = PROJECT / ".trips"
# Apart from the fetched ones: both have the TLC's file names, and made-up trips must never pass for real ones.
GENERATED = FETCHED / "generated"
MONTHS = ("2021-01", "2021-02", "2021-03")
GENERATED_ROWS = 20_000
FETCH_SECONDS_MAX = 180
SECONDS_MAX = 120


@dataclass(frozen=True)
class Source:
    folder: Path
    # How the trips came to be there, for people.
    about: str

    def file(self, month: str) -> Path:
        return self.folder / f"green_tripdata_{month}.parquet"

    def missing(self) -> list[str]:
        return [self.file(month).name for month in MONTHS if not self.file(month).is_file()]


def find() -> Source:
    """The months, from the first place that has them all."""
    if own := os.environ.get("TRIPS_DIR"):
        source = Source(Path(own).absolute(), f"trips from TRIPS_DIR ({own})")
        if missing := source.missing():
            raise Failure(f"TRIPS_DIR={own} has no {', '.join(missing)}")
        return source
    beside = Source(BESIDE, f"real trips, from {os.path.relpath(BESIDE)}")
    return fetch() if beside.missing() else beside


def fetch() -> Source:
    """From the TLC; what an earlier run fetched whole is not fetched again."""
    try:
        tripcast("fetch", "--taxi", "green", *month_arguments(), "--to", str(FETCHED), seconds_max=FETCH_SECONDS_MAX)
    except Failure as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return generate()
    return checked(Source(FETCHED, f"real trips, fetched from the TLC to {FETCHED}"))


def generate() -> Source:
    tripcast("generate", *month_arguments(), "--rows", str(GENERATED_ROWS), "--to", str(GENERATED))
    about = f"MADE-UP trips in {GENERATED}, since no real ones could be had: the figures say nothing about New York"
    return checked(Source(GENERATED, about))


def checked(source: Source) -> Source:
    if missing := source.missing():
        raise Failure(f"`tripcast data` said it was done, but {source.folder} has no {', '.join(missing)}")
    return source


def month_arguments() -> list[str]:
    return [argument for month in MONTHS for argument in ("--month", month)]


def sample(file: Path, rows: int) -> list[dict]:
    """Trips of a month as messages, each with what it took in the field `actual_duration`."""
    lines = tripcast("sample", "--input", str(file), "--rows", str(rows), "--seed", "7").splitlines()
    if len(lines) != rows:
        raise Failure(f"`tripcast data sample` gave {len(lines)} messages of {file.name}, expected {rows}")
    return [json.loads(line) for line in lines]


def tripcast(verb: str, *arguments: str, seconds_max: int = SECONDS_MAX) -> str:
    """Runs `tripcast data <verb>`; what it printed."""
    try:
        done = subprocess.run(
            [TRIPCAST, "data", verb, *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=seconds_max,
        )
    except FileNotFoundError:
        raise Failure(f"there is no {TRIPCAST}; build it first: cargo build --release") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"`tripcast data {verb}` was not done after {seconds_max} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Failure(f"`tripcast data {verb}` failed: {lines[-1].removeprefix('error: ')}")
    return done.stdout
