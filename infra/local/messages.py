"""Reads trips of a file as messages, with `tripcast data sample`."""

import json
import subprocess
from pathlib import Path

from environment import PROJECT, Failure

TRIPCAST = PROJECT / "target" / "release" / "tripcast"
SECONDS_MAX = 120


def sample(file: Path, rows: int) -> list[dict]:
    """Returns `rows` trips of a month as messages, each with its duration in minutes in the field `actual_duration`."""
    command = [TRIPCAST, "data", "sample", "--input", file, "--rows", str(rows), "--seed", "7"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX)
    except FileNotFoundError:
        raise Failure(f"there is no {TRIPCAST}; build it first: make local") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"`tripcast data sample` was not done after {SECONDS_MAX} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Failure(f"`tripcast data sample` failed: {lines[-1].removeprefix('error: ')}")
    lines = done.stdout.splitlines()
    if len(lines) != rows:
        raise Failure(f"`tripcast data sample` gave {len(lines)} messages of {file.name}, expected {rows}")
    return [json.loads(line) for line in lines]
