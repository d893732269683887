"""The models everybody scores: trained once, then converted and compiled for those who do not read LightGBM's text."""

import importlib.util
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import data
import run
import score_peer
from environment import HERE, PYTHON, STATE, lock_hash
from failure import Failure

TREES = 300


@dataclass
class Models:
    """A folder with a form of the model for every rival, and what went wrong for those that have none."""

    folder: Path
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def text(self) -> Path:
        return self.folder / score_peer.LIGHTGBM_TEXT

    def notes(self) -> list[str]:
        """What compiling cost, which scoring does not show."""
        took = ", ".join(f"{rival} {seconds:.1f} s" for rival, seconds in self.seconds.items())
        return [f"Converted or compiled beforehand: {took}."] if took else []


def ensure(pair: data.Pair, name: str) -> Models:
    # Other versions of the libraries train and compile other files.
    made = Models(STATE / "models" / f"{name}-{lock_hash()[:12]}")
    made.folder.mkdir(parents=True, exist_ok=True)
    if failure := train("lightgbm", pair, made.text):
        raise Failure(f"LightGBM cannot train the model to score: {failure}")
    if failure := train("xgboost", pair, made.folder / score_peer.XGBOOST_MODEL):
        made.failures["xgboost"] = failure
    for rival, about in score_peer.RIVALS.items():
        if about.prepare is not None:
            prepare(rival, made)
    return made


def train(rival: str, pair: data.Pair, file: Path) -> str | None:
    """Trains the model into `file` if it is not there; what failed."""
    if file.exists():
        return None
    run.say(f"training {rival}'s model to score")
    part = file.with_name(f"part-{file.name}")
    _, failure = run.answer_of(run.Job(rival, [
        PYTHON, HERE / "train_peer.py", rival, "--x", pair.train.x, "--y", pair.train.minutes, "--test-x", pair.test.x,
        "--test-y", pair.test.minutes, "--objective", "squared", "--rounds", str(TREES), "--leaves", "31",
        "--learning-rate", "0.1", "--save", part,
    ]))
    if failure is None:
        part.rename(file)
    return failure


def prepare(rival: str, made: Models) -> None:
    """Converts or compiles; how long that took is kept beside the file, for a run that finds it made."""
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
    """The C program, built, and the library it drives; or why there is none."""
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
