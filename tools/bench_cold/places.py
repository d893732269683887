"""Where everything lies, and what the tools share."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from python_environment import PROJECT, Environment, Failure, run  # noqa: E402, F401

# Everything that is made and can be made again: environments, models, packages, trips.
STATE = PROJECT / "target" / "bench-cold"
TRIPCAST = PROJECT / "target" / "release" / "tripcast"
EVENTS = PROJECT / "infra" / "events"
# Of every champion, ours and theirs.
TREES = 300
