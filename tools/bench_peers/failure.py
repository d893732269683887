"""What can be expected to go wrong."""


class Failure(Exception):
    """Its message is the one sentence the user reads."""
