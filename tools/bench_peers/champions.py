"""The champions that serve: a retraining on a year of months promotes ours, and LightGBM has as many trees and leaves.

They are made once; delete target/bench-peers/champions after a change of training.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import data
import run
import shape
from environment import HERE, PYTHON, STATE
from failure import Failure

FOLDER = STATE / "champions"
# The holdout. The month before it is not published when a model of the months before starts to serve.
HOLDOUT, NOW = "2024-02", "2024-03-15"
RUN = "bench"
# Of the product, where a search has found no better number.
LEAVES = {"duration": shape.SERVED.leaves, "tip": shape.SERVED_TIP.leaves}


@dataclass(frozen=True)
class Champions:
    """A store of models, the files of its champions by target, and how many trees of how many leaves at most they have."""

    store: Path
    files: dict[str, Path]
    trees: dict[str, int]
    leaves: dict[str, int]

    def __str__(self) -> str:
        return " and ".join(f"{trees:,} trees of {self.leaves[target]} leaves" for target, trees in self.trees.items())


def promoted(plan) -> Champions:
    """Retrains on a year and returns what was promoted."""
    store = FOLDER / f"store-{len(plan.months)}"
    if not store.exists():
        run.say(f"retraining on {len(plan.months)} months")
        trips = FOLDER / f"trips-{len(plan.months)}" / "history"
        trips.mkdir(parents=True, exist_ok=True)
        for month in [*plan.months, HOLDOUT]:
            (trips / data.file_of(month).name).unlink(missing_ok=True)
            (trips / data.file_of(month).name).symlink_to(data.file_of(month))
        part = store.with_name(f"part-{store.name}")
        shutil.rmtree(part, ignore_errors=True)
        command = [plan.tripcast, "retrain", "--data", trips.parent, "--models", part, "--now", NOW, "--name", RUN,
                   "--windows", str(len(plan.months)), "--trials", "1"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"tripcast retrain: {run.reason(done.stderr)}")
        part.rename(store)
    champions = Champions(store, {}, {}, {})
    for target in json.loads((store / "runs" / f"{NOW}-{RUN}" / "run.json").read_text())["targets"]:
        name, version, course = target["target"], target["version"], target["course"]
        if target["family"] != "boosted" or not target["decision"]["promote"] or course["cut"]:
            raise Failure(f"the retraining promoted no boosted {name} model: {target['decision']['reason']}")
        champions.files[name] = store / name / "versions" / version / "model.bin"
        champions.trees[name] = course["rounds"]
        champions.leaves[name] = target["params"]["boosted"]["leaves"] or LEAVES[name]
    if champions.files.keys() != LEAVES.keys():
        raise Failure(f"the retraining promoted models of {', '.join(champions.files) or 'nothing'}")
    return champions


def of_lightgbm(plan) -> Path:
    """Trains LightGBM's pair on the same months, with the trees and leaves of ours; returns its folder."""
    ours = promoted(plan)
    trees, leaves = ([str(of[target]) for target in LEAVES] for of in (ours.trees, ours.leaves))
    folder = FOLDER / f"lightgbm-{len(plan.months)}-{'-'.join(trees + leaves)}"
    if not (folder / "tip.txt").exists():
        run.say("training LightGBM's champions")
        _, failure = run.answer_of(run.Job("LightGBM", [
            PYTHON, HERE / "file_peer.py", "train", "--months", ",".join(str(data.file_of(month)) for month in plan.months),
            "--trees", ",".join(trees), "--leaves", ",".join(leaves), "--folder", folder,
        ], threads=len(run.cores())))
        if failure:
            raise Failure(f"LightGBM's champions: {failure}")
    return folder
