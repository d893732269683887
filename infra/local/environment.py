"""The Python environment of the local AWS and of its deployment."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Appended at the end, so that modules of this folder come first.
sys.path.append(str(HERE.parents[1] / "tools"))

from python_environment import PROJECT, Environment, Failure  # noqa: E402, F401

STATE = HERE / ".state"
_OURS = Environment(STATE, HERE / "requirements.lock", "the local AWS (about 110 MB)")
exclusive = _OURS.exclusive


def ensure() -> Path:
    """Installs the environment if necessary; returns the path of its Python."""
    _OURS.ensure()
    return _OURS.python


def reenter() -> None:
    """Restarts this command with the environment's Python."""
    if not _OURS.is_current():
        raise Failure("its environment is missing or out of date; run `make venv` first")
    _OURS.reenter()
