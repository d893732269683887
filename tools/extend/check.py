"""Makes a project from infra/new-project, as docs/EXTENDING.md describes it, and builds, tests, trains and lints it.

    python3 tools/extend/check.py            (by `make test-extending`)

cargo-generate is installed once, below target, where the project lies and compiles, too.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from python_environment import PROJECT, Failure  # noqa: E402

STATE = PROJECT / "target" / "extend"
VERSION = "0.23.13"
GENERATE = STATE / f"cargo-generate-{VERSION}" / "bin" / "cargo-generate"
SAMPLE = PROJECT / "tests" / "fixtures" / "trips"
NAME = "fare-scorer"
TRAINED = re.compile(r"fare: RMSE ([0-9.]+) dollars on ([0-9]+) trips, where the mean has ([0-9.]+)")


def main() -> int:
    try:
        install()
        project = generated()
        cargo(project, "test")
        cargo(project, "clippy", "--all-targets", "--", "-D", "warnings")
        # The order of imports depends on the project's name.
        cargo(project, "fmt")
        months = [SAMPLE / f"green_tripdata_2021-{month}.parquet" for month in ("01", "02", "03")]
        printed = cargo(project, "run", "--bin", "train", "--", project / "fare.bin", *months)
        found = TRAINED.search(printed)
        if not found:
            raise Failure(f"training printed no figures: {printed[-300:]}")
        rmse, trips, mean = float(found[1]), int(found[2]), float(found[3])
        if not rmse < mean / 2:
            raise Failure(f"fares are off by {rmse} dollars, which is not half of the {mean} of their mean")
    except (Failure, OSError) as failure:
        print(f"extending: {failure}", file=sys.stderr)
        return 1
    print(f"extending: a project for fares was made, built, tested and trained: {rmse} dollars on {trips} trips, where the mean has {mean}")
    return 0


def install() -> None:
    if not GENERATE.exists():
        print(f"extending: installing cargo-generate {VERSION}, once", file=sys.stderr, flush=True)
        run(["cargo", "install", "cargo-generate", "--version", VERSION, "--locked", "--root", GENERATE.parent.parent,
             "--target-dir", STATE / "build"], PROJECT)
        shutil.rmtree(STATE / "build", ignore_errors=True)


def generated() -> Path:
    work = STATE / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    run([GENERATE, "generate", "--path", PROJECT / "infra" / "new-project", "--name", NAME, "--destination", work, "--silent",
         "--vcs", "none", "--define", f"crates={PROJECT / 'shared'}", "--define", "target=fare", "--define", "unit=dollars",
         "--define", "outcome=fare_amount"], work)
    project = work / NAME
    # The versions of this checkout, which the registry may have overtaken.
    shutil.copy(PROJECT / "Cargo.lock", project)
    return project


def cargo(project: Path, command: str, *arguments: str | Path) -> str:
    return run(["cargo", command, *arguments], project)


def run(command: list[str | Path], folder: Path) -> str:
    environment = {**os.environ, "CARGO_TARGET_DIR": str(STATE / "target")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command[:3]))} failed:\n{(done.stdout + done.stderr).strip()[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
