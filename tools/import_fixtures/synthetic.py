"""Synthetic taxi trips, and rows that are edge cases for importers of models.

Nothing here comes from real trips: zones, distances and durations come from a seeded generator. Every value is exactly
an f32, so that libraries that work in f64 and in f32 get the same numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

COLUMNS = ["PULocationID", "DOLocationID", "trip_distance", "hour", "passenger_count"]
N_ZONES = 265
N_GOLDEN = 60
# LightGBM treats values of at most this magnitude (1e-35 as an f32) as zero.
TINY = float(np.float32(1e-35))


@dataclass(frozen=True)
class Trips:
    """Rows of features in the order of `COLUMNS`, and the two targets."""

    features: np.ndarray
    duration: np.ndarray
    tipped: np.ndarray


def trips(seed: int, n_rows: int = 2500, n_zones: int = N_ZONES) -> Trips:
    """Generates trips with skewed zones (0 is unknown), missing values, and targets that depend on the features."""
    random = np.random.default_rng(seed)
    effects = np.random.default_rng(7).normal(0.0, 4.0, size=(2, N_ZONES + 1))
    pickup, dropoff = (_zones(random, n_rows, n_zones) for _ in range(2))
    distance = np.round(random.gamma(2.0, 1.6, n_rows), 2)
    hour = random.integers(0, 24, n_rows)
    passengers = random.choice(7, n_rows, p=[0.05, 0.6, 0.15, 0.08, 0.05, 0.04, 0.03]).astype(np.float64)
    rush = np.where((hour >= 7) & (hour <= 19), 6.0, 0.0)
    duration = (5.0 + 3.5 * distance + rush + effects[0, pickup] + effects[1, dropoff]
                + 0.8 * passengers + random.normal(0.0, 2.0, n_rows))
    chance = 1.0 / (1.0 + np.exp(-(0.3 * distance - 1.0 + 0.2 * effects[0, pickup] - 0.3 * passengers)))
    distance[random.random(n_rows) < 0.05] = math.nan
    passengers[random.random(n_rows) < 0.20] = math.nan
    features = np.column_stack([pickup, dropoff, distance, hour, passengers])
    features = features.astype(np.float32).astype(np.float64)
    return Trips(features, np.maximum(duration, 1.0).astype(np.float32).astype(np.float64),
                 (random.random(n_rows) < chance).astype(np.float64))


def _zones(random: np.random.Generator, n_rows: int, n_zones: int) -> np.ndarray:
    """Draws zones: few are frequent and many rare, always the same ones; 1 row in 20 has the unknown zone 0."""
    weights = 1.0 / np.arange(1, n_zones + 1)
    by_frequency = np.random.default_rng(3).permutation(N_ZONES)[:n_zones] + 1
    zones = random.choice(by_frequency, n_rows, p=weights / weights.sum())
    zones[random.random(n_rows) < 0.05] = 0
    return zones


def beside(threshold: float) -> list[float]:
    """Returns the f32 values around a threshold: the largest one that is not above it, and its two neighbours."""
    at = np.float32(threshold)
    if float(at) > threshold:
        at = np.nextafter(at, np.float32(-np.inf))
    below = np.nextafter(at, np.float32(-np.inf))
    above = np.nextafter(at, np.float32(np.inf))
    return [float(below), float(at), float(above)]


def golden_rows(thresholds: Mapping[int, Sequence[float]], categorical: Sequence[int] = (),
                infinities: bool = False) -> np.ndarray:
    """Returns `N_GOLDEN` rows: known edge cases first, then ordinary ones.

    `thresholds` are those of the model, by column; `categorical` are the columns whose numbers are categories.
    """
    ordinary = trips(seed=99, n_rows=N_GOLDEN).features
    plain = ordinary[~np.isnan(ordinary).any(axis=1)]
    everywhere = [math.nan, 0.0, -0.0, -1.0, float(np.float32(1e30)), float(np.float32(-1e30)), TINY, -TINY]
    if infinities:
        everywhere += [math.inf, -math.inf]
    rows = [np.full(len(COLUMNS), value) for value in everywhere]
    changes = [(column, math.nan) for column in range(len(COLUMNS))]
    for column in categorical:
        changes += [(column, value) for value in (0.0, -0.5, -1.0, 74.5, 500.0, 3e9, 16777216.0)]
    borders = [(column, value) for column in thresholds for value in sorted(set(thresholds[column]))]
    for column, threshold in borders[:: max(1, len(borders) // 8)][:8]:
        changes += [(column, value) for value in beside(threshold)]
    for position, (column, value) in enumerate(changes):
        row = plain[position % len(plain)].copy()
        row[column] = np.float32(value)
        rows.append(row)
    rows += list(ordinary)
    return np.array(rows[:N_GOLDEN], dtype=np.float64)


def as_dicts(features: np.ndarray) -> list[dict[str, Any]]:
    """Converts rows to dicts as in the course: zones as strings, the distance as a number."""
    return [{"PULocationID": str(int(row[0])), "DOLocationID": str(int(row[1])), "trip_distance": float(row[2])}
            for row in features]


def dict_rows(missing: bool) -> list[dict[str, Any]]:
    """Returns `N_GOLDEN` dicts, edge cases of a DictVectorizer first: absent keys, unseen values, wrong types."""
    ordinary = as_dicts(np.nan_to_num(trips(seed=99, n_rows=N_GOLDEN, n_zones=20).features, nan=0.5))
    known = ordinary[0]
    edges: list[dict[str, Any]] = [
        {}, {"trip_distance": 2.5}, {"PULocationID": known["PULocationID"]}, {"DOLocationID": known["DOLocationID"]},
        {**known, "PULocationID": "unseen"}, {**known, "DOLocationID": ""}, {**known, "PULocationID": 74.0},
        {**known, "trip_distance": 0.0}, {**known, "trip_distance": -3.0}, {**known, "passenger_count": 2.0},
        {**known, "trip_distance": float(np.float32(1e30))}, {**known, "trip_distance": "far"},
    ]
    if missing:
        edges += [{**known, "trip_distance": None}, {"trip_distance": None}]
    return (edges + ordinary)[:N_GOLDEN]
