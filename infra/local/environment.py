"""The Python environment that the server and the deployer run in."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Last: `months` means the one of this folder.
sys.path.append(str(HERE.parents[1] / "tools"))

from python_environment import PROJECT, Environment, Failure  # noqa: E402, F401

STATE = HERE / ".state"
_OURS = Environment(STATE, HERE / "requirements.lock", "the local AWS (about 110 MB)")
exclusive = _OURS.exclusive


def ensure() -> Path:
    """The environment's Python, after installing what is not there yet."""
    _OURS.ensure()
    return _OURS.python


def reenter() -> None:
    """Continues this very command under the environment's Python."""
    if not _OURS.is_current():
        raise Failure("its environment is missing or out of date; run `make venv` first")
    _OURS.reenter()
