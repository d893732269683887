"""Watches new code while it has a tenth of the work, and takes it back if an alarm rings: what CodeDeploy does for SAM's deployments.

Used by terraform.py. Between two applications of Terraform the alias of each function that answers has two versions, the stable one and the new one
with its share.
"""

import os
import re
import time
from typing import NamedTuple

from python_environment import PROJECT, Failure

ALIAS = "live"
# Functions that answer: those with an alias.
ALIASES = (PROJECT / "infra" / "terraform" / "rollout.tf").read_text()
FUNCTIONS = re.findall(r'function_version = lookup\(var\.stable_versions, "([a-z-]+)"', ALIASES)
# The alarms of each that end a canary: <stack>-<function>-<alarm>.
ALARMS = ("errors", "duration")
MINUTES = 15
POLL_SECONDS = 15


class Canary(NamedTuple):
    """The clients and the stack, whose functions are called <stack>-<function>."""

    functions: object
    alarms: object
    stack: str

    @classmethod
    def of(cls, stack: str) -> "Canary":
        import boto3

        # boto3 does not read AWS_REGION.
        region = os.environ.get("AWS_REGION") or None
        return cls(boto3.client("lambda", region_name=region), boto3.client("cloudwatch", region_name=region), stack)

    def stable_versions(self) -> dict[str, str]:
        """Returns the version that serves of each function; functions without an alias, as before a first deployment, are left out."""
        found = {}
        for function in FUNCTIONS:
            try:
                found[function] = self.functions.get_alias(FunctionName=f"{self.stack}-{function}", Name=ALIAS)["FunctionVersion"]
            except self.functions.exceptions.ResourceNotFoundException:
                continue
        return found

    def begun(self) -> list[str]:
        """Returns the functions of which a new version has a share."""
        def shares(function: str) -> dict:
            return self.functions.get_alias(FunctionName=f"{self.stack}-{function}", Name=ALIAS).get("RoutingConfig") or {}

        return [function for function in FUNCTIONS if shares(function).get("AdditionalVersionWeights")]

    def ringing(self) -> list[str]:
        """Returns the alarms of the functions that ring."""
        names = [f"{self.stack}-{function}-{alarm}" for function in FUNCTIONS for alarm in ALARMS]
        found = self.alarms.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm"])["MetricAlarms"]
        return sorted(one["AlarmName"] for one in found if one["StateValue"] == "ALARM")

    def watch(self) -> None:
        """Returns when the time is over; raises a Failure if an alarm rings."""
        ends = time.monotonic() + 60 * MINUTES
        while time.monotonic() < ends:
            if names := self.ringing():
                raise Failure(f"{', '.join(names)} rings: the versions before have all work again")
            time.sleep(POLL_SECONDS)

    def take_back(self, stable: dict[str, str]) -> None:
        """Lets the stable versions have all work again."""
        for function, version in stable.items():
            self.functions.update_alias(
                FunctionName=f"{self.stack}-{function}", Name=ALIAS, FunctionVersion=version, RoutingConfig={"AdditionalVersionWeights": {}})
