"""The Python environment of the other libraries."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from python_environment import PROJECT, Environment  # noqa: E402

# Everything that the benchmark makes and can make again: environment, data, models, results.
STATE = PROJECT / "target" / "bench-peers"
_OURS = Environment(STATE, HERE / "requirements.lock", "the rivals (about 750 MB on disk)")
PYTHON = _OURS.python
ensure, reenter, exclusive, lock_hash = _OURS.ensure, _OURS.reenter, _OURS.exclusive, _OURS.lock_hash
