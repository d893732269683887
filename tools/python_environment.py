"""Python environments of tools: each is created on first use from its lock file, and again when that file changes."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

PROJECT = Path(__file__).resolve().parents[1]
# The folder of a function has the name of its crate and of its binary.
FUNCTIONS = sorted(manifest.parent.name for manifest in (PROJECT / "functions").glob("*/Cargo.toml"))


class Failure(Exception):
    """An error whose message is one line and says what to do."""


@dataclass(frozen=True)
class Environment:
    """The environment of one tool. Everything that the tool makes, and can make again, lies in the folder `state`."""

    state: Path
    lock: Path
    # Printed while it is installed: what it is, and how large.
    about: str

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python3"

    @property
    def venv(self) -> Path:
        return self.state / "venv"

    @property
    def marker(self) -> Path:
        return self.venv / "installed-from"

    def ensure(self) -> None:
        """Installs the locked requirements if they are not there yet."""
        with self.exclusive("environment"):
            if not self.is_current():
                self.make()

    def reenter(self) -> None:
        """Restarts this command with the environment's Python."""
        if Path(sys.prefix).resolve() == self.venv:
            return
        sys.stdout.flush()
        os.execv(self.python, [str(self.python), *sys.argv])

    @contextlib.contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Admits one process at a time: a second one waits, and then finds everything made."""
        self.state.mkdir(parents=True, exist_ok=True)
        with open(self.state / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def is_current(self) -> bool:
        return self.python.exists() and self.marker.exists() and self.marker.read_text() == self.lock_hash()

    def lock_hash(self) -> str:
        return hashlib.sha256(self.lock.read_bytes()).hexdigest()

    def make(self) -> None:
        if sys.version_info < (3, 10):
            raise Failure(f"Python 3.10 or later is needed, this is {sys.version.split()[0]}")
        if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
            raise Failure("this Python has no venv or no ensurepip (on Debian and Ubuntu: apt install python3-venv)")
        print(f"installing {self.about}, once", file=sys.stderr)
        # The environment's own Python cannot replace itself, so the base Python is used even if that one runs.
        base_python = getattr(sys, "_base_executable", None) or sys.executable
        run("making the environment", [base_python, "-m", "venv", "--clear", str(self.venv)])
        run("installing requirements.lock", [
            str(self.python), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
            # The locks are complete. Without --no-deps, older pips look for further packages where a package has
            # extras, and then refuse them because they have no hash.
            "--no-deps", "--require-hashes", "-r", str(self.lock),
        ])
        # Written last, so that an interrupted installation is repeated.
        self.marker.write_text(self.lock_hash())


def run(doing: str, command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure(f"{doing} failed: {reason(done.stdout)}")


def reason(output: str) -> str:
    """Returns the last error line of pip's output, which names the cause; pip prints hints after its errors."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it said nothing"])[-1]
