"""Trips and champions that our functions find: months in a folder, models of 300 trees in a directory that is a registry."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from places import STATE, TREES, TRIPCAST, Failure

# After places, which makes what the tools share known.
import trips

TRIPS, MODELS = STATE / "trips", STATE / "models"
SMALL = TRIPS / "small"
LEARNT_FROM, JUDGED_ON, PREDICTED = "2021-01", "2021-02", "2021-03"
SMALL_ROWS = 1000
# So slow that days held out do not end the learning before the last tree.
LEARNING_RATE = 0.003


def green(month: str) -> str:
    return f"green_tripdata_{month}.parquet"


def make() -> None:
    """Anew every time: the model's form may have changed since."""
    if not TRIPCAST.is_file():
        raise Failure("there is no target/release/tripcast; build it first: make build")
    for folder in (TRIPS, MODELS):
        shutil.rmtree(folder, ignore_errors=True)
    trips.link(TRIPS)
    tripcast("data", "generate", "--month", PREDICTED, "--rows", str(SMALL_ROWS), "--to", str(SMALL))
    for target in ("duration", "tip"):
        model = STATE / f"{target}.bin"
        trained = tripcast(
            "train", "--target", target, "--family", "boosted", "--rounds-max", str(TREES),
            "--learning-rate", str(LEARNING_RATE), "--train", str(TRIPS / green(LEARNT_FROM)),
            "--validate", str(TRIPS / green(JUDGED_ON)), "--out", str(model))
        if trained["trees"] != TREES:
            raise Failure(f"the {target} model has {trained['trees']} trees, not {TREES}")
        publish(target, model)


def publish(target: str, model: Path) -> None:
    """By hand, as shared/platform/src/registry.rs lays versions out; promoted by the command for that."""
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
