#!/usr/bin/env python3
"""Lists which of the project's requirements this machine has, and what does not run without the others.

    python3 tools/doctor.py            (by `make doctor`)

It installs nothing and uses no network. It exits with 1 if something is missing that everything needs.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import trips
from python_environment import PROJECT, Failure

PYTHON_MIN = (3, 10)


class Found(NamedTuple):
    name: str
    # Version or description of what was found; empty if it is missing.
    what: str
    # What does not run if it is missing.
    without: str
    is_required: bool = False


def found() -> Iterator[Found]:
    yield Found("cargo", version("cargo", "--version"), "anything: https://rustup.rs", True)
    yield Found("C compiler", version(os.environ.get("CC", "cc"), "--version"), "anything: Debian and Ubuntu: apt install gcc", True)
    yield Found("git", version("git", "--version"), "anything", True)
    yield Found("python3", python(), "the local AWS, the demo and end-to-end tests: 3.10 or later, with venv", True)
    yield Found("trips", sample_or_own(), "the demo", True)
    yield Found("whole months", whole_months(), "golden figures of whole months (`make months` fetches them)")
    yield Found("terraform", version("terraform", "version"), "terraform fmt, validate and test; `make deploy-terraform`")
    yield Found("npm", version("npm", "--version"), "`make test-card` and `make test-monitor`, which look at pages in a browser")
    yield Found("containers", version("docker", "info", "--format", "{{.ServerVersion}}"), "`sam local invoke` (`make sam-local`), images (`make images`)")


def version(command: str, *arguments: str) -> str:
    """Returns the first line that a command prints; empty if the command is missing or fails."""
    if not shutil.which(command):
        return ""
    done = subprocess.run([command, *arguments], cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else ""


def python() -> str:
    has_venv = all(importlib.util.find_spec(module) for module in ("venv", "ensurepip"))
    return sys.version.split()[0] if sys.version_info >= PYTHON_MIN and has_venv else ""


def sample_or_own() -> str:
    try:
        return trips.find().about
    except Failure as failure:
        print(f"doctor: {failure}", file=sys.stderr)
        return ""


def whole_months() -> str:
    own = os.environ.get("TRIPS_DIR")
    if not own:
        fetched = (PROJECT / "trips" / "manifest.json").is_file()
        return "in trips, and not used: set TRIPS_DIR=trips" if fetched else ""
    listed = [line.split("  ") for line in (PROJECT / "tests/fixtures/whole-months.sha256").read_text().splitlines() if line[0] != "#"]
    green = [(digest, Path(own) / name) for digest, name in listed if name.startswith("green")]
    there = sum(file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest for digest, file in green)
    return f"{there} of {len(green)}, in {own}" if there else ""


def main() -> None:
    missing = []
    for one in found():
        print(f"{one.name:<13} {one.what or f'not there, so this does not run: {one.without}'}")
        if one.is_required and not one.what:
            missing.append(one.name)
    if missing:
        sys.exit(f"doctor: {', '.join(missing)} must be there")


if __name__ == "__main__":
    main()
