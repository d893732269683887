"""Installs what npm has, by a lock file and into a folder below target, and runs it there."""

import os
import shutil
import subprocess
from pathlib import Path

from python_environment import Failure


def install(sources: Path, state: Path) -> None:
    """Copies all files of `sources`, among them package.json and package-lock.json, to `state` and installs what they name."""
    if not shutil.which("npm"):
        raise Failure("npm is needed: install Node.js 20 or later")
    state.mkdir(parents=True, exist_ok=True)
    for file in sources.iterdir():
        if file.is_file():
            shutil.copy(file, state / file.name)
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], state)


def run(command: list[str], state: Path) -> str:
    """Runs a command in `state` and returns what it prints. Its temporary files stay there too."""
    temporary = state / "tmp"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(command, cwd=state, env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{command[0]} failed: {(done.stderr.strip() or done.stdout.strip())[-600:]}")
    return done.stdout
