"""Trips and champions for our functions: months in a folder, and what `tripcast train` makes of one in a registry in a directory."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from places import STATE, TRIPCAST, Failure

# Imported after places, which adds the folder of shared modules to the path.
import trips

TRIPS, MODELS = STATE / "trips", STATE / "models"
SMALL = TRIPS / "small"
LEARNT_FROM, JUDGED_ON, PREDICTED = "2021-01", "2021-02", "2021-03"
SMALL_ROWS = 1000
TARGETS = ("duration", "tip")


def green(month: str) -> str:
    return f"green_tripdata_{month}.parquet"


def make() -> None:
    """Makes trips and champions, each time again, because the format of models may have changed."""
    if not TRIPCAST.is_file():
        raise Failure("there is no target/release/tripcast; build it first: make build")
    for folder in (TRIPS, MODELS):
        shutil.rmtree(folder, ignore_errors=True)
    trips.link(TRIPS)
    tripcast("data", "generate", "--month", PREDICTED, "--rows", str(SMALL_ROWS), "--to", str(SMALL))
    for target in TARGETS:
        model = STATE / f"{target}.bin"
        trained = tripcast(
            "train", "--target", target, "--family", "boosted", "--train", str(TRIPS / green(LEARNT_FROM)),
            "--validate", str(TRIPS / green(JUDGED_ON)), "--out", str(model))
        (STATE / f"{target}.trees").write_text(str(trained["trees"]))
        publish(target, model)


def trees() -> dict[str, int]:
    """Returns how many trees each champion has."""
    return {target: int((STATE / f"{target}.trees").read_text()) for target in TARGETS}


def messages(rows: int) -> list[str]:
    """Returns bodies of messages, made of trips of the month that is predicted."""
    command = [str(TRIPCAST), "data", "sample", "--input", str(TRIPS / green(PREDICTED)), "--rows", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"tripcast data sample failed: {done.stderr.strip()[-300:]}")
    return done.stdout.splitlines()


def publish(target: str, model: Path) -> None:
    """Writes the version's files as shared/registry lays them out, and promotes it with `tripcast registry promote`."""
    version = hashlib.sha256(model.read_bytes()).hexdigest()[:12]
    folder = MODELS / target / "versions" / version
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("null")
    shutil.copy(model, folder / "model.bin")
    tripcast("registry", "promote", "--store", str(MODELS), "--target", target, "--version", version)


def tripcast(*arguments: str) -> dict:
    done = subprocess.run([str(TRIPCAST), "--json", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"tripcast {' '.join(arguments[:2])} failed: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)
