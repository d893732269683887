"""The data sets of the benchmark: little-endian f32 files, made once and read by all libraries."""

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import environment
import generated
import numpy as np
from failure import Failure

FOLDER = environment.STATE / "data"
# Features of the generated trips.
FEATURES = 10
# Features of a trip in the product, of which the first are what a file states and the geography of its zones.
SERVED_FEATURES, RAW_FEATURES = 24, 15
# The month of the generated file of trips.
GENERATED_MONTH = "2024-02"


@dataclass(frozen=True)
class Set:
    """A data set: a file with rows of features, and one for each target that it has."""

    name: str
    features: int = FEATURES

    @property
    def x(self) -> Path:
        return FOLDER / f"{self.name}.x.f32"

    @property
    def minutes(self) -> Path:
        return FOLDER / f"{self.name}.y.f32"

    @property
    def tipped(self) -> Path:
        return FOLDER / f"{self.name}.tip.f32"

    def target(self, objective: str) -> Path:
        return self.minutes if objective == "squared" else self.tipped

    def rows(self) -> int:
        return self.x.stat().st_size // (4 * self.features)


@dataclass(frozen=True)
class Pair:
    """A training set and a test set."""

    train: Set
    test: Set

    def files(self, objective: str) -> list[str | Path]:
        train, test = self.train, self.test
        return ["--x", train.x, "--y", train.target(objective), "--test-x", test.x, "--test-y", test.target(objective),
                "--features", str(train.features)]


def made_up(rows: int) -> Pair:
    """Returns `rows` generated trips for training, rounded down to whole blocks, and two blocks for testing."""
    test_rows = 2 * generated.BLOCK
    return Pair(
        ensure(f"generated-{short(rows)}", lambda: generate(generated.TRAINING, rows)),
        ensure(f"generated-test-{short(test_rows)}", lambda: generate(generated.TEST, test_rows)),
    )


def generate(which: int, rows: int) -> Iterable[generated.Trips]:
    city = generated.city()
    return (generated.block(city, which, number) for number in range(rows // generated.BLOCK))


def of_months(program: Path, months: list[str], test_months: list[str], objective: str) -> Pair:
    """Returns the product's own features of real trips: of all, or of those paid by card, because other tips are not recorded."""

    def ensured(about: list[str]) -> Set:
        target = "duration" if objective == "squared" else "tip"
        the_set = Set(f"real-{target}-{about[0]}-{about[-1]}", SERVED_FEATURES)
        if not the_set.target(objective).exists():
            say_making(the_set.name)
            FOLDER.mkdir(parents=True, exist_ok=True)
            files = ",".join(str(file_of(month)) for month in about)
            command = [program, "features", "--months", files, "--target", target, "--x", the_set.x, "--y", the_set.target(objective)]
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
            if done.returncode != 0:
                raise Failure(f"{program.name}: {done.stderr.strip()}")
        return the_set

    return Pair(ensured(months), ensured(test_months))


def file_of(month: str) -> Path:
    """Returns the file of a month of real trips in TRIPS_DIR."""
    folder = os.environ.get("TRIPS_DIR")
    if not folder:
        raise Failure("TRIPS_DIR names no folder with months of trips")
    file = Path(folder) / f"green_tripdata_{month}.parquet"
    if not file.is_file():
        raise Failure(f"TRIPS_DIR has no {file.name}")
    return file


def generated_trips(program: Path, rows: int) -> Path:
    """Returns a month of trips that the product generates, the same for the same number of rows."""
    file = FOLDER / f"trips-generated-{short(rows)}.parquet"
    if not file.exists():
        say_making(file.stem)
        # Renamed only when it is complete.
        part = FOLDER / f"{file.stem}.part"
        command = [program, "data", "generate", "--month", GENERATED_MONTH, "--rows", str(rows), "--to", part]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"{program.name}: {done.stderr.strip()}")
        (part / f"green_tripdata_{GENERATED_MONTH}.parquet").rename(file)
        part.rmdir()
    return file


def ensure(name: str, blocks) -> Set:
    """Returns the set of that name, and makes it from `blocks()` if it does not exist."""
    the_set = Set(name)
    if not all(file.exists() for file in (the_set.x, the_set.minutes, the_set.tipped)):
        say_making(name)
        write(the_set, blocks())
    return the_set


def say_making(name: str) -> None:
    print(f"bench peers: making the set {name}", file=sys.stderr)


def write(the_set: Set, blocks: Iterable[generated.Trips]) -> None:
    """Writes the set block by block, and renames the files only when they are complete."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    parts = {file: file.with_suffix(".part") for file in (the_set.x, the_set.minutes, the_set.tipped)}
    for part in parts.values():
        part.unlink(missing_ok=True)
    for block in blocks:
        for part, column in zip(parts.values(), (block.x, block.minutes, block.tipped)):
            with open(part, "ab") as file:
                file.write(np.ascontiguousarray(column, dtype="<f4").tobytes())
    for file, part in parts.items():
        part.rename(file)


def read_rows(file: Path, features: int) -> np.ndarray:
    return np.fromfile(file, dtype="<f4").reshape(-1, features)


def read_column(file: Path) -> np.ndarray:
    return np.fromfile(file, dtype="<f4")


def short(rows: int) -> str:
    return f"{rows // 1_000_000}m" if rows % 1_000_000 == 0 else f"{rows // 1000}k"


def first_rows(of: Set, rows: int) -> Path:
    """Returns a file with the first rows of a set, for programs that read a whole file."""
    file = FOLDER / f"{of.name}-first-{short(rows)}.x.f32"
    if not file.exists():
        part = file.with_suffix(".part")
        read_rows(of.x, of.features)[:rows].tofile(part)
        part.rename(file)
    return file
