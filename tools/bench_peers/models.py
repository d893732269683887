"""The models to score: trained once, then converted or compiled for libraries that do not read LightGBM's text."""

import importlib.util
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import data
import run
import shape
import score_peer
from environment import HERE, PYTHON, STATE, lock_hash
from failure import Failure


@dataclass
class Models:
    """A folder with the model in the format of each library, and the errors of those that have none."""

    folder: Path
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def text(self) -> Path:
        return self.folder / score_peer.LIGHTGBM_TEXT

    def notes(self, about: str) -> list[str]:
        """Returns the time that compiling took, which the scoring times do not include."""
        took = ", ".join(f"{rival} {seconds:.1f} s" for rival, seconds in self.seconds.items())
        return [f"Converted or compiled beforehand, {about}: {took}."] if took else []


def ensure(pair: data.Pair, of: shape.Shape) -> Models:
    # Other versions of the libraries produce other files, so the folder's name contains the hash of the lock file.
    made = Models(STATE / "models" / f"{pair.train.name}-{of.trees}x{of.leaves}-{lock_hash()[:12]}")
    made.folder.mkdir(parents=True, exist_ok=True)
    if failure := train("lightgbm", pair, of, made.text):
        raise Failure(f"LightGBM cannot train the model to score: {failure}")
    if failure := train("xgboost", pair, of, made.folder / score_peer.XGBOOST_MODEL):
        made.failures["xgboost"] = failure
    for rival, about in score_peer.RIVALS.items():
        if about.prepare is not None:
            prepare(rival, made)
    return made


def train(rival: str, pair: data.Pair, of: shape.Shape, file: Path) -> str | None:
    """Trains the model into `file` if it does not exist; returns the error, if any."""
    if file.exists():
        return None
    run.say(f"training {rival}'s model to score")
    part = file.with_name(f"part-{file.name}")
    command = [PYTHON, HERE / "train_peer.py", rival, *pair.files("squared"), *of.settings("squared"), "--save", part]
    _, failure = run.answer_of(run.Job(rival, command))
    if failure is None:
        part.rename(file)
    return failure


def prepare(rival: str, made: Models) -> None:
    """Converts or compiles the model, and stores the time that it took beside the file for later runs."""
    file = made.folder / score_peer.RIVALS[rival].file
    took = file.with_name(f"{file.name}.seconds")
    if not file.exists() or not took.exists():
        run.say(f"preparing the model for {rival}")
        answer, failure = run.answer_of(run.Job(rival, [
            PYTHON, HERE / "score_peer.py", "prepare", rival, "--folder", made.folder,
        ]))
        if failure is not None:
            made.failures[rival] = failure
            return
        took.write_text(str(answer["wall_s"]))
    made.seconds[rival] = float(took.read_text())


def single_row_program() -> tuple[Path, Path, str | None]:
    """Builds the C program; returns its path, that of the library it loads, and the error, if any."""
    program = STATE / "single_row"
    package = importlib.util.find_spec("lightgbm")
    if package is None:
        return program, program, "lightgbm is not installed"
    library = Path(package.origin).parent / "lib" / "lib_lightgbm.so"
    command = ["gcc", "-O3", "-Wall", "-Wextra", "-o", str(program), str(HERE / "single_row.c"), "-ldl"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return program, library, "there is no gcc"
    return program, library, None if done.returncode == 0 else f"gcc failed: {run.reason(done.stderr)}"
