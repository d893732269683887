"""Sizes of the ensembles that are compared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Trees of at most `leaves` leaves, each split choosing from a share of the features."""

    trees: int
    leaves: int
    rate: float
    node_features: float = 1.0

    def settings(self, objective: str) -> list[str]:
        return ["--objective", objective, "--rounds", str(self.trees), "--leaves", str(self.leaves),
                "--learning-rate", str(self.rate), "--node-features", str(self.node_features)]

    def __str__(self) -> str:
        return f"{self.trees:,} trees of {self.leaves} leaves"


# What most benchmarks measure, and what the product trains on a year.
SMALL = Shape(300, 31, 0.1)
SMALL_FIT = Shape(100, 31, 0.1)
SERVED = Shape(1_000, 63, 0.1, 0.5)
SERVED_TIP = Shape(1_000, 31, 0.1, 0.5)
SERVED_FIT = Shape(200, 63, 0.1, 0.5)
# LightGBM as it comes, with as many rounds as are usual.
UNTUNED = Shape(400, 63, 0.06)
