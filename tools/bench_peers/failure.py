"""What can be expected to go wrong."""

import environment  # noqa: F401  (finds what the tools share)
from python_environment import Failure  # noqa: F401
