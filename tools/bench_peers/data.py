"""The data sets of the benchmark: little-endian f32 files, made once and read by all libraries."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import environment
import generated
import numpy as np
import real

FOLDER = environment.STATE / "data"
FEATURES = 10


@dataclass(frozen=True)
class Set:
    """A data set in three files: rows of features, and both targets."""

    name: str

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
        return self.minutes.stat().st_size // 4

    def exists(self) -> bool:
        return all(file.exists() for file in (self.x, self.minutes, self.tipped))


@dataclass(frozen=True)
class Pair:
    """A training set and a test set."""

    train: Set
    test: Set


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


def of_months(months: list[str], test_month: str, card_only: bool) -> Pair:
    """Returns real trips; with `card_only`, for tips, those paid by card, because other tips are not recorded."""
    kind = "card" if card_only else "all"
    folder = real.folder()

    def ensured(about: list[str]) -> Set:
        name = f"real-{kind}-{about[0]}-{about[-1]}"
        return ensure(name, lambda: (real.trips(folder, month, card_only) for month in about))

    return Pair(ensured(months), ensured([test_month]))


def ensure(name: str, blocks) -> Set:
    """Returns the set of that name, and makes it from `blocks()` if it does not exist."""
    the_set = Set(name)
    if not the_set.exists():
        print(f"bench peers: making the set {name}", file=sys.stderr)
        write(the_set, blocks())
    return the_set


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


def read_rows(file: Path) -> np.ndarray:
    return np.fromfile(file, dtype="<f4").reshape(-1, FEATURES)


def read_column(file: Path) -> np.ndarray:
    return np.fromfile(file, dtype="<f4")


def short(rows: int) -> str:
    return f"{rows // 1_000_000}m" if rows % 1_000_000 == 0 else f"{rows // 1000}k"


def first_rows(of: Set, rows: int) -> Path:
    """Returns a file with the first rows of a set, for programs that read a whole file."""
    file = FOLDER / f"{of.name}-first-{short(rows)}.x.f32"
    if not file.exists():
        part = file.with_suffix(".part")
        read_rows(of.x)[:rows].tofile(part)
        part.rename(file)
    return file
