"""Plans or applies a stage of infra/terraform on AWS with the packages of `make build`. It builds nothing.

    python3 tools/deploy/terraform.py plan --stage dev       (by `make plan-terraform STAGE=dev`)
    python3 tools/deploy/terraform.py apply --stage prod     (by `make deploy-terraform STAGE=prod`)

The state is in the bucket TF_STATE_BUCKET; infra/terraform/stages defines the stages; PERMISSIONS_BOUNDARY, ALARM_EMAIL and ALARMS_ELSEWHERE are as
in sam.py.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from python_environment import PROJECT, Failure  # noqa: E402
from stage import alarm_email  # noqa: E402

STAGES = PROJECT / "infra" / "terraform" / "stages"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("plan", "apply"))
    parser.add_argument("--stage", choices=("dev", "prod"), required=True)
    parser.add_argument("--architecture", choices=("arm64", "x86_64"), default="arm64", help="(default: %(default)s)")
    args = parser.parse_args()
    try:
        bucket = os.environ.get("TF_STATE_BUCKET")
        if not bucket:
            raise Failure("TF_STATE_BUCKET must name the bucket that holds Terraform's state")
        terraform(args.stage, ["init", "-input=false", "-reconfigure", f"-backend-config=bucket={bucket}"])
        # A role that may only read cannot lock the state, so a plan does not; applying locks it.
        how = ["-lock=false"] if args.verb == "plan" else ["-auto-approve"]
        terraform(args.stage, [args.verb, "-input=false", *how, *variables(args)])
    except Failure as failure:
        print(f"deploy-terraform: {failure}", file=sys.stderr)
        return 1
    return 0


def variables(args: argparse.Namespace) -> list[str]:
    architecture = args.architecture
    packages = PROJECT / "target" / "lambda" / architecture
    if not packages.is_dir():
        raise Failure(f"no packages in {packages.relative_to(PROJECT)}; run `make build`")
    given = {"packages": str(packages), "architecture": architecture}
    if boundary := os.environ.get("PERMISSIONS_BOUNDARY"):
        given["permissions_boundary"] = boundary
    # A stage that names its address itself asks for none here.
    asks = "var.alarm_email" in (STAGES / args.stage / "main.tf").read_text()
    # A plan shows what would be; only applying it has to be refused.
    if asks and (address := alarm_email(args.stage if args.verb == "apply" else "dev")):
        given["alarm_email"] = address
    return [f"-var={name}={value}" for name, value in given.items()]


def terraform(stage: str, arguments: list[str]) -> None:
    try:
        done = subprocess.run(["terraform", f"-chdir={STAGES / stage}", *arguments])
    except FileNotFoundError:
        raise Failure("terraform is not installed") from None
    if done.returncode != 0:
        raise Failure(f"terraform {arguments[0]} failed (above)")


if __name__ == "__main__":
    sys.exit(main())
