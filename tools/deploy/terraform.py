"""Plans or applies a stage of infra/terraform on AWS with the packages of `make build`. It builds nothing.

    python3 tools/deploy/terraform.py plan --stage dev       (by `make plan-terraform STAGE=dev`)
    python3 tools/deploy/terraform.py apply --stage prod     (by `make deploy-terraform STAGE=prod`)

The state is in the bucket TF_STATE_BUCKET; infra/terraform/stages defines the stages; PERMISSIONS_BOUNDARY, ALARM_EMAIL, ALARMS_ELSEWHERE and CANARY
are as in sam.py: the boundary and the subscription stay as they are where nobody states them. Where the stage asks for canaries, new code has a tenth of the work for a quarter of an hour before it has the rest (canary.py).
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "infra"))

from canary import MINUTES, Canary  # noqa: E402
from lint import TOOLS  # noqa: E402
from python_environment import PROJECT, Failure  # noqa: E402
from stage import STACKS, alarm_email, may_use_canaries  # noqa: E402

STAGES = PROJECT / "infra" / "terraform" / "stages"
# Variables that stay as whoever stated them last left them, with the attribute of a resource that has them.
KEPT = {"alarm_email": ("aws_sns_topic_subscription", "endpoint"), "permissions_boundary": ("aws_iam_role", "permissions_boundary")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("plan", "apply"))
    parser.add_argument("--stage", choices=("dev", "prod"), required=True)
    parser.add_argument("--architecture", choices=("arm64", "x86_64"), default="arm64", help="(default: %(default)s)")
    args = parser.parse_args()
    # So that an end by a signal takes a canary back, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        bucket = os.environ.get("TF_STATE_BUCKET")
        if not bucket:
            raise Failure("TF_STATE_BUCKET must name the bucket that holds Terraform's state")
        given = variables(args)
        with_canary = args.verb == "apply" and uses_canaries(args.stage)
        if with_canary:
            # For boto3.
            TOOLS.ensure()
            TOOLS.reenter()
        terraform(args.stage, ["init", "-input=false", "-reconfigure", f"-backend-config=bucket={bucket}"])
        given |= kept(args.stage, state(args.stage), given)
        given = [f"-var={name}={value}" for name, value in given.items()]
        if args.verb == "plan":
            # A role that may only read cannot lock the state, so a plan does not; applying locks it.
            terraform(args.stage, ["plan", "-input=false", "-lock=false", *given])
        elif with_canary:
            apply_by_canary(args.stage, given)
        else:
            apply(args.stage, given)
    except Failure as failure:
        print(f"deploy-terraform: {failure}", file=sys.stderr)
        return 1
    return 0


def apply(stage: str, given: list[str]) -> None:
    terraform(stage, ["apply", "-input=false", "-auto-approve", *given])


def apply_by_canary(stage: str, given: list[str]) -> None:
    """Applies twice: first the stable versions keep all but a tenth of the work, and then the new ones have all of it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        canary = Canary.of(STACKS[stage])
        stable = canary.stable_versions()
        if names := canary.ringing():
            raise Failure(f"{', '.join(names)} rings already, which would end every canary; CANARY=no deploys what may end the alarm")
        # There are none before the first deployment.
        if stable:
            try:
                apply(stage, [*given, f"-var=stable_versions={json.dumps(stable)}"])
                if begun := canary.begun():
                    print(f"deploy-terraform: new code of {', '.join(begun)} has a tenth of the work for {MINUTES} minutes", flush=True)
                    canary.watch()
            except BaseException:
                # Ctrl-C too.
                canary.take_back(stable)
                raise
        apply(stage, given)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise Failure(f"the canary: {error}") from error


def uses_canaries(stage: str) -> bool:
    asks = re.search(r"^\s*canary_deployments\s*=\s*true$", (STAGES / stage / "main.tf").read_text(), re.MULTILINE)
    return asks is not None and may_use_canaries()


def variables(args: argparse.Namespace) -> dict[str, str]:
    architecture = args.architecture
    packages = PROJECT / "target" / "lambda" / architecture
    if not packages.is_dir():
        raise Failure(f"no packages in {packages.relative_to(PROJECT)}; run `make build`")
    given = {"packages": str(packages), "architecture": architecture}
    if boundary := os.environ.get("PERMISSIONS_BOUNDARY"):
        given["permissions_boundary"] = boundary
    # A plan shows what would be; only applying it has to be refused.
    if asks(args.stage, "alarm_email") and (address := alarm_email(args.stage if args.verb == "apply" else "dev")):
        given["alarm_email"] = address
    return given


def asks(stage: str, variable: str) -> bool:
    """Returns whether a stage has a variable, or names its value itself."""
    return f"var.{variable}" in (STAGES / stage / "main.tf").read_text()


def kept(stage: str, state: dict, given: dict[str, str]) -> dict[str, str]:
    """Returns the variables of KEPT that are not given, as a state has them: what is not passed is taken away by Terraform."""
    found = {}
    for variable, (kind, attribute) in KEPT.items():
        if variable in given or not asks(stage, variable):
            continue
        of_kind = (one for one in state.get("resources", []) if one["mode"] == "managed" and one["type"] == kind)
        values = {instance["attributes"].get(attribute) for one in of_kind for instance in one["instances"]} - {None, ""}
        if len(values) > 1:
            raise Failure(f"the state has several values of {variable}, {', '.join(sorted(values))}: state one")
        if values:
            found[variable] = values.pop()
    return found


def state(stage: str) -> dict:
    done = subprocess.run(["terraform", f"-chdir={STAGES / stage}", "state", "pull"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"terraform state pull: {done.stderr.strip()[-300:]}")
    # There is none before the first deployment.
    return json.loads(done.stdout) if done.stdout.strip() else {}


def terraform(stage: str, arguments: list[str]) -> None:
    try:
        done = subprocess.run(["terraform", f"-chdir={STAGES / stage}", *arguments])
    except FileNotFoundError:
        raise Failure("terraform is not installed") from None
    if done.returncode != 0:
        raise Failure(f"terraform {arguments[0]} failed (above)")


if __name__ == "__main__":
    sys.exit(main())
