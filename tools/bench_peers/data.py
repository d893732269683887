"""The sets everybody trains on and scores: little-endian f32 files, made once and read by all rivals alike."""

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
    """Rows of features and both targets of each, in three files."""

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
    """What is learned from, and what is judged on."""

    train: Set
    test: Set


def made_up(rows: int) -> Pair:
    """`rows` generated trips to train on, in whole blocks, and two blocks to test on."""
    test_rows = 2 * generated.BLOCK
    return Pair(
        ensure(f"generated-{short(rows)}", lambda: generate(generated.TRAINING, rows)),
        ensure(f"generated-test-{short(test_rows)}", lambda: generate(generated.TEST, test_rows)),
    )


def generate(which: int, rows: int) -> Iterable[generated.Trips]:
    city = generated.city()
    return (generated.block(city, which, number) for number in range(rows // generated.BLOCK))


def of_months(months: list[str], test_month: str, card_only: bool) -> Pair:
    """Real trips; those paid by card when it is about tips, since others are never recorded."""
    kind = "card" if card_only else "all"
    folder = real.folder()

    def ensured(about: list[str]) -> Set:
        name = f"real-{kind}-{about[0]}-{about[-1]}"
        return ensure(name, lambda: (real.trips(folder, month, card_only) for month in about))

    return Pair(ensured(months), ensured([test_month]))


def ensure(name: str, blocks) -> Set:
    """The set of that name, made from `blocks()` if it is not there."""
    the_set = Set(name)
    if not the_set.exists():
        print(f"bench peers: making the set {name}", file=sys.stderr)
        write(the_set, blocks())
    return the_set


def write(the_set: Set, blocks: Iterable[generated.Trips]) -> None:
    """Block by block, and under its name only when whole."""
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
    """A file of the first rows of a set, for programs that take all that a file has."""
    file = FOLDER / f"{of.name}-first-{short(rows)}.x.f32"
    if not file.exists():
        part = file.with_suffix(".part")
        read_rows(of.x)[:rows].tofile(part)
        part.rename(file)
    return file
