#!/usr/bin/env python3
"""Proves that the repository is self-contained: it clones HEAD into an empty folder, as a newcomer would.

    python3 tools/bare_clone.py            (by `make bare-clone`, which builds first)

The clone has nothing beside it, its own environment and home directory, and the local AWS, which it installs. After
that, a proxy that does not exist blocks everything but the loopback interface, and `make demo` and `make doctor` have
to do what the README says. The demo runs binaries that were built here, because building takes minutes: --binaries
names their folder.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from product import expect
from python_environment import FUNCTIONS, PROJECT, Failure

BINARIES = (*FUNCTIONS, "tripcast")
NOWHERE = "http://127.0.0.1:9"
SECONDS_MAX = 600
# Lines of the demo's output that the README quotes and that are the same on every machine.
EXPECTED = ("1,000 sent, 997 predicted, 3 rejected", "10,000 rows, 10,000 predicted, 0 rejected")


def prove(folder: Path, commit: str, binaries: Path) -> None:
    clone, home = folder / "tripcast", folder / "home"
    home.mkdir()
    run("cloning", ["git", "clone", "--quiet", "--no-hardlinks", str(PROJECT), str(clone)])
    run("checking out", ["git", "-C", str(clone), "checkout", "--quiet", "--detach", commit])
    built = clone / "target" / "release"
    built.mkdir(parents=True)
    for name in BINARIES:
        shutil.copy(binaries / name, built / name)
    # Keeps this machine's settings of pip, which may name a registry that it can reach.
    run("installing the local AWS", ["make", "-C", str(clone), "venv"], without(os.environ))
    alone = {
        "PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1,localhost",
        # The toolchain is the machine's.
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME") or str(Path.home() / ".rustup"),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE),
    }
    try:
        # `true` replaces the release build, because the binaries are there.
        page = run("make demo", ["make", "-C", str(clone), "demo", "RELEASE=true"], alone)
    finally:
        subprocess.run(["make", "-C", str(clone), "down"], env=alone, capture_output=True)
    print(page)
    print(run("make doctor", ["make", "-C", str(clone), "doctor"], alone))
    readme = (clone / "README.md").read_text()
    versions = [line.split()[2] for line in page.splitlines() if line.startswith(("  duration ", "  tip "))]
    expect(len(versions) == 2 and all(version in readme for version in versions), f"the README shows other models than {versions}")
    for words in EXPECTED:
        expect(words in page and words in readme, f"the demo and the README do not both say {words!r}")


def without(environment: os._Environ[str]) -> dict[str, str]:
    """Returns the environment without the variables that the project's own commands read."""
    ours = ("TRIPS_DIR", "LOCAL_AWS_", "NOT_RUN_LIST", "MAKE", "MFLAGS", "CI")
    return {name: value for name, value in environment.items() if not name.startswith(ours)}


def run(doing: str, command: list[str], environment: dict[str, str] | None = None) -> str:
    """Returns the output of a command; raises a Failure with the end of the output if it fails."""
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX)
    if done.returncode != 0:
        tail = "\n  ".join(done.stdout.strip().splitlines()[-12:])
        raise Failure(f"{doing} failed in a clone of its own, exit status {done.returncode}:\n  {tail}")
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default="HEAD", help="what to clone (default: %(default)s)")
    parser.add_argument("--binaries", type=Path, default=PROJECT / "target" / "release", metavar="DIR",
                        help="where they were built (default: target/release)")
    args = parser.parse_args()
    commit = subprocess.run(["git", "-C", str(PROJECT), "rev-parse", args.commit], capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="tripcast-") as folder:
        try:
            prove(Path(folder), commit, args.binaries)
        except (Failure, OSError, subprocess.TimeoutExpired) as failure:
            sys.exit(f"bare-clone: {failure}")
    print(f"bare-clone: commit {commit[:12]} is enough by itself")


if __name__ == "__main__":
    main()
