"""The Python environment the rivals run in: made on first use, remade when its lock changes."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Iterator

from failure import Failure

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
# Everything that is made and can be made again: environment, data, models, results.
STATE = PROJECT / "target" / "bench-peers"
VENV = STATE / "venv"
PYTHON = VENV / "bin" / "python3"
LOCK = HERE / "requirements.lock"
MARKER = VENV / "installed-from"


def ensure() -> None:
    """Installs the locked requirements if they are not there yet."""
    with exclusive("environment"):
        if not is_current():
            make()


def reenter() -> None:
    """Continues this very command under the environment's Python."""
    if Path(sys.prefix).resolve() == VENV:
        return
    sys.stdout.flush()
    os.execv(PYTHON, [str(PYTHON), *sys.argv])


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[None]:
    """One process at a time: the second waits, and finds everything made."""
    STATE.mkdir(parents=True, exist_ok=True)
    with open(STATE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_current() -> bool:
    return PYTHON.exists() and MARKER.exists() and MARKER.read_text() == lock_hash()


def lock_hash() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def make() -> None:
    if sys.version_info < (3, 10):
        raise Failure(f"Python 3.10 or later is needed, this is {sys.version.split()[0]}")
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        raise Failure("this Python has no venv or no ensurepip (on Debian and Ubuntu: apt install python3-venv)")
    print("bench peers: installing the rivals, once (about 750 MB on disk)", file=sys.stderr)
    # Even when run by the environment's own Python, which cannot replace itself.
    base_python = getattr(sys, "_base_executable", None) or sys.executable
    run("making the environment", [base_python, "-m", "venv", "--clear", str(VENV)])
    run("installing requirements.lock", [
        str(PYTHON), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
        "--require-hashes", "-r", str(LOCK),
    ])
    # Written last: an interrupted installation counts as none.
    MARKER.write_text(lock_hash())


def run(doing: str, command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure(f"{doing} failed: {reason(done.stdout)}")


def reason(output: str) -> str:
    """pip prints hints after its errors; the last error line is the one that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it said nothing"])[-1]
