"""Re-exports the error that the tools share."""

import environment  # noqa: F401  (finds what the tools share)
from python_environment import Failure  # noqa: F401
