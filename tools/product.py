"""What the checks of the tools share: the product's command line, and expectations."""

import subprocess
from pathlib import Path

from python_environment import PROJECT, Failure

TRIPCAST = PROJECT / "target" / "release" / "tripcast"


def tripcast(*arguments: str | Path) -> str:
    """Returns what the command line prints on stdout."""
    done = subprocess.run([TRIPCAST, *arguments], capture_output=True, text=True)
    expect(done.returncode == 0, f"tripcast {' '.join(map(str, arguments[:3]))}: {done.stderr.strip()[-400:]}")
    return done.stdout


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failure(otherwise)
