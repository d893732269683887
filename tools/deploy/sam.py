"""Deploys the packages of `make build` to AWS with a pinned SAM CLI. It builds nothing, so that exactly the attested
packages are deployed.

    python3 tools/deploy/sam.py --stage dev          (by `make deploy-sam STAGE=dev`)

samconfig.toml defines the stages. From the environment come PERMISSIONS_BOUNDARY, the ARN of the permissions boundary of the functions'
roles; ALARM_EMAIL, without which production is refused unless ALARMS_ELSEWHERE=yes; and PARAMETERS, others of the template, as
"StreamShards=1 Taxi=yellow", values with spaces in quotation marks. Every parameter is passed, since CloudFormation keeps the previous value of one that is not: a default that
has changed would never arrive. Only AlarmEmail, PermissionsBoundary, the secret OtlpHeaders and StreamShards are passed if they are stated and
not otherwise, so that nobody's subscription, key or stream with its records is taken away. CANARY=no lets new code have all work at once, as where an alarm rings that it
ends. The stack of production is protected from deletion.
"""

import argparse
import hashlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "infra"))

from lint import TOOLS  # noqa: E402
from stage import STACKS, alarm_email, may_use_canaries  # noqa: E402
from python_environment import FUNCTIONS, PROJECT, Failure  # noqa: E402

# Stage -> the environment of samconfig.toml.
STAGES = {"dev": "default", "prod": "prod"}
TEMPLATE = PROJECT / "target" / "deploy" / "template.yaml"
# Parameters that stay as whoever stated them last left them.
KEPT = ("AlarmEmail", "OtlpHeaders", "PermissionsBoundary", "StreamShards")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=sorted(STAGES), required=True)
    parser.add_argument("--architecture", choices=("arm64", "x86_64"), default="arm64", help="(default: %(default)s)")
    args = parser.parse_args()
    try:
        packages = PROJECT / "target" / "lambda" / args.architecture
        TEMPLATE.parent.mkdir(parents=True, exist_ok=True)
        parameters = overrides(args)
        template = (PROJECT / "template.yaml").read_text()
        # Without the packages' places, which differ from machine to machine.
        stated = "\n".join([template, *sorted(parameters)])
        TEMPLATE.write_text(with_releases(with_packages(template, packages), packages, stated))
        TOOLS.ensure()
        # For boto3.
        TOOLS.reenter()
        deploy(args.stage, parameters)
        if args.stage == "prod":
            protect(STACKS[args.stage])
    except Failure as failure:
        print(f"deploy-sam: {failure}", file=sys.stderr)
        return 1
    return 0


def deploy(stage: str, parameters: list[str]) -> None:
    command = [
        str(TOOLS.venv / "bin" / "sam"), "deploy", "--template-file", str(TEMPLATE), "--config-file", str(PROJECT / "samconfig.toml"),
        "--config-env", STAGES[stage], "--no-confirm-changeset", *region(), "--parameter-overrides", *parameters,
    ]
    if subprocess.run(command, cwd=PROJECT, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}).returncode != 0:
        raise Failure("sam deploy failed (above)")


def protect(stack: str) -> None:
    """Protects a stack from deletion, for which `sam deploy` has no option."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        # boto3 does not read AWS_REGION.
        client = boto3.client("cloudformation", region_name=os.environ.get("AWS_REGION") or None)
        client.update_termination_protection(StackName=stack, EnableTerminationProtection=True)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise Failure(f"the stack {stack} is deployed, but cannot be protected from deletion: {error}") from error


def with_packages(template: str, packages: Path) -> str:
    """Returns the template with the package of each function as its CodeUri, in place of the source folder."""
    for function in FUNCTIONS:
        package = packages / function / "bootstrap.zip"
        if not package.is_file():
            raise Failure(f"no package {package.relative_to(PROJECT)}; run `make build`")
        metadata = re.compile(rf"(        Binary: {function}\n(?:      .*\n)*    Properties:\n)")
        template, count = metadata.subn(rf"\g<1>      CodeUri: {package}\n", template)
        if count != 1:
            raise Failure(f"template.yaml has {count} functions of the binary {function}")
    return template


def with_releases(template: str, packages: Path, stated: str) -> str:
    """Returns the template with a hash for each function that answers, of its package and of what is stated, by which SAM publishes a version of
    it. SAM itself would not notice that only a parameter has changed, and the alias would stay at a version with the value before."""
    for function in FUNCTIONS:
        release = hashlib.sha256(stated.encode() + (packages / function / "bootstrap.zip").read_bytes())
        alias = re.compile(rf"(        Binary: {function}\n(?:(?:      .*|    Properties:)\n)*?      AutoPublishAlias: \w+\n)")
        template = alias.sub(rf'\g<1>      AutoPublishCodeSha256: "{release.hexdigest()[:16]}"\n', template)
    return template


def region() -> list[str]:
    """Returns the option for the region, because the SAM CLI reads AWS_DEFAULT_REGION and not AWS_REGION."""
    named = os.environ.get("AWS_REGION")
    return ["--region", named] if named else []


def overrides(args: argparse.Namespace) -> list[str]:
    """Returns every parameter of the template: as stated here, by the stage, or by its default, in this order."""
    config = (PROJECT / "samconfig.toml").read_text()
    stage = re.search(rf"\[{STAGES[args.stage]}\.deploy\.parameters\](.*?)(?:\n\[|\Z)", config, re.DOTALL)
    stated = re.search(r'^parameter_overrides = "(.*)"$', stage[1], re.MULTILINE) if stage else None
    values = defaults((PROJECT / "template.yaml").read_text())
    known = {*values, *KEPT}
    for one in [*(stated[1].split() if stated else []), *shlex.split(os.environ.get("PARAMETERS", ""))]:
        name, is_pair, value = one.partition("=")
        if not is_pair or name not in known:
            raise Failure(f"PARAMETERS or samconfig.toml: expected Name=Value of {', '.join(sorted(known))}; found {one}")
        if name == "Architecture":
            raise Failure("PARAMETERS or samconfig.toml: the architecture is that of the packages; state it by --architecture")
        values[name] = value
    values["Architecture"] = args.architecture
    if boundary := os.environ.get("PERMISSIONS_BOUNDARY"):
        values["PermissionsBoundary"] = boundary
    if not may_use_canaries():
        values["CanaryDeployments"] = "false"
    if "AlarmEmail" not in values and (address := alarm_email(args.stage)):
        values["AlarmEmail"] = address
    return [f'{name}="{value}"' for name, value in values.items()]


def defaults(template: str) -> dict[str, str]:
    """Returns the defaults of the template's parameters, but for those that are kept."""
    [parameters] = re.findall(r"^Parameters:\n(.*?)^\S", template, re.DOTALL | re.MULTILINE)
    found = re.findall(r"^  (\w+):\n(?:    .*\n)*?    Default: (.*)\n", parameters, re.MULTILINE)
    if len(found) != len(re.findall(r"^  \w+:$", parameters, re.MULTILINE)):
        raise Failure("template.yaml has a parameter without a default")
    return {name: value.strip().strip('"') for name, value in found if name not in KEPT}


if __name__ == "__main__":
    sys.exit(main())
