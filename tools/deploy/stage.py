"""What both deployments take from the environment of whoever deploys."""

import os

from python_environment import Failure

# Stage -> the name of its stack.
STACKS = {"dev": "tripcast-dev", "prod": "tripcast"}


def alarm_email(stage: str) -> str | None:
    """Returns the address that ALARM_EMAIL states, none without; production has to have somewhere for its alarms to go."""
    address = os.environ.get("ALARM_EMAIL") or None
    if stage == "prod" and not address and os.environ.get("ALARMS_ELSEWHERE") != "yes":
        raise Failure("production needs somewhere for its alarms to go: set ALARM_EMAIL to an address, or ALARMS_ELSEWHERE=yes if "
                      "somebody subscribes to the topic AlarmTopic by other means")
    return address


def may_use_canaries() -> bool:
    """Returns whether new code may have a tenth of the work at first, where its stage asks for it: CANARY=no deploys all at once."""
    return os.environ.get("CANARY") != "no"
