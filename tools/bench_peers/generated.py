"""Synthetic green taxi trips, always the same: as many as a benchmark needs, with the structure that trees find in
real ones.

They resemble real months in what matters to a trainer: how many distinct values each column has and how skewed they
are, that distance is continuous, and that the target depends on zones, distance and hour together, with noise.
"""

from dataclasses import dataclass

import numpy as np

SEED = 20_240_101
# Rows are generated in blocks, each with its own random stream, so a smaller set is the beginning of a larger one.
BLOCK = 100_000
ZONES = 265
TRAINING, TEST = 0, 1
MILES_PER_DEGREE = np.array([53.0, 69.0])
# Trips by hour of day, from midnight on: quiet before dawn, two rush hours.
BY_HOUR = np.array([14, 9, 6, 5, 5, 8, 16, 34, 45, 42, 40, 42, 45, 46, 52, 58, 62, 68, 66, 55, 43, 35, 28, 21], dtype=float)
# Miles an hour by hour of day.
SPEED = np.array([19, 20, 21, 22, 22, 20, 17, 14, 12, 12, 12, 12, 12, 12, 11, 11, 10.5, 10.5, 11.5, 13, 14.5, 16, 17, 18])


@dataclass(frozen=True)
class City:
    """Parameters that all blocks share: the zones' popularity and location, and how people there drive and tip."""

    popularity: np.ndarray
    place: np.ndarray
    slowness: np.ndarray
    generosity: np.ndarray


@dataclass(frozen=True)
class Trips:
    """Ten f32 features of each trip, its duration in minutes, and whether it was tipped."""

    x: np.ndarray
    minutes: np.ndarray
    tipped: np.ndarray


def city() -> City:
    rng = np.random.default_rng([SEED, 99])
    popularity = 1.0 / np.arange(1, ZONES + 1) ** 1.1
    rng.shuffle(popularity)
    place = np.array([-73.93, 40.75]) + rng.normal(0, [0.08, 0.07], (ZONES, 2))
    return City(popularity / popularity.sum(), place, rng.lognormal(0, 0.15, ZONES), rng.normal(0, 0.8, ZONES))


def block(trips_of: City, which: int, number: int) -> Trips:
    """Generates one block of training or test trips."""
    rng = np.random.default_rng([SEED, which, number])
    pickup = rng.choice(ZONES, BLOCK, p=trips_of.popularity)
    dropoff = draw_dropoffs(rng, trips_of, pickup)
    weekday = rng.choice(7, BLOCK, p=np.array([13, 14, 14, 15, 16, 15, 13]) / 100)
    hour = draw_hours(rng, weekday)
    quarter = hour * 4 + rng.integers(0, 4, BLOCK)
    distance = draw_distances(rng, trips_of, pickup, dropoff)
    vendor = rng.choice([1, 2], BLOCK, p=[0.13, 0.87])
    rate_code = rng.choice(np.arange(1, 7), BLOCK, p=[0.93, 0.004, 0.001, 0.002, 0.062, 0.001])
    passengers = rng.choice(7, BLOCK, p=[0.006, 0.85, 0.085, 0.015, 0.006, 0.021, 0.017])
    trip_type = np.where(rng.random(BLOCK) < np.where(rate_code == 5, 0.6, 0.003), 2, 1)
    minutes = draw_minutes(rng, trips_of, (pickup, dropoff, distance, hour, weekday, rate_code))
    tipped = draw_tips(rng, trips_of, (pickup, dropoff, distance, hour, vendor, trip_type))
    columns = (pickup + 1, dropoff + 1, distance, hour, weekday, quarter, vendor, rate_code, passengers, trip_type)
    return Trips(np.column_stack(columns).astype(np.float32), minutes.astype(np.float32), tipped.astype(np.float32))


def draw_dropoffs(rng: np.random.Generator, trips_of: City, pickup: np.ndarray) -> np.ndarray:
    """Draws dropoff zones, near ones more often: each pickup zone has its own distribution, sampled by inversion."""
    miles = np.linalg.norm((trips_of.place[:, None] - trips_of.place[None, :]) * MILES_PER_DEGREE, axis=2)
    weight = trips_of.popularity[None, :] ** 0.8 * np.exp(-miles / 1.2)
    cumulated = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)
    # One search serves all rows: the distribution of pickup zone p occupies p..p+1 of the table.
    table = (cumulated + np.arange(ZONES)[:, None]).ravel()
    found = np.searchsorted(table, pickup + rng.random(BLOCK)) - pickup * ZONES
    return np.clip(found, 0, ZONES - 1)


def draw_hours(rng: np.random.Generator, weekday: np.ndarray) -> np.ndarray:
    """Draws hours; at the weekend the night is busier and there is no morning rush."""
    weekend = BY_HOUR.copy()
    weekend[:4] *= 3
    weekend[6:10] *= 0.4
    on_weekend = rng.choice(24, BLOCK, p=weekend / weekend.sum())
    on_workday = rng.choice(24, BLOCK, p=BY_HOUR / BY_HOUR.sum())
    return np.where(weekday >= 5, on_weekend, on_workday)


def draw_distances(rng: np.random.Generator, trips_of: City, pickup: np.ndarray, dropoff: np.ndarray) -> np.ndarray:
    """Draws distances in hundredths of a mile: longer than the straight line, and above 0 within a zone too."""
    beeline = np.linalg.norm((trips_of.place[pickup] - trips_of.place[dropoff]) * MILES_PER_DEGREE, axis=1)
    return np.round((beeline + 0.4) * rng.lognormal(0.2, 0.25, BLOCK), 2)


def draw_minutes(rng: np.random.Generator, trips_of: City, about: tuple[np.ndarray, ...]) -> np.ndarray:
    """Draws durations from 1 to 60 minutes, in whole seconds, from the speed of the hour and of the zones."""
    pickup, dropoff, distance, hour, weekday, rate_code = about
    slowness = np.sqrt(trips_of.slowness[pickup] * trips_of.slowness[dropoff])
    # Long trips use highways, traffic is lighter at weekends, and trips with negotiated fares are faster.
    speed = SPEED[hour] * (1 + 0.04 * np.minimum(distance, 12)) * np.where(weekday >= 5, 1.15, 1.0)
    minutes = 2.0 + 60 * distance / speed * slowness * np.where(rate_code == 5, 0.9, 1.0)
    return np.clip(np.round(minutes * rng.lognormal(0, 0.28, BLOCK) * 60) / 60, 1, 60)


def draw_tips(rng: np.random.Generator, trips_of: City, about: tuple[np.ndarray, ...]) -> np.ndarray:
    pickup, dropoff, distance, hour, vendor, trip_type = about
    score = (
        0.6 + trips_of.generosity[pickup] + 0.5 * trips_of.generosity[dropoff] + 0.25 * np.minimum(distance, 6)
        - 0.02 * distance**2 / (1 + 0.1 * distance) + 0.4 * (vendor == 2) + 0.3 * np.cos((hour - 19) / 24 * 2 * np.pi)
        - 1.5 * (trip_type == 2)
    )
    return rng.random(BLOCK) < 1 / (1 + np.exp(-score))
