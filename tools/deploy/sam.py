"""Deploys the packages of `make build` to AWS with a pinned SAM CLI. It builds nothing, so that exactly the attested
packages are deployed.

    python3 tools/deploy/sam.py --stage dev          (by `make deploy-sam STAGE=dev`)

samconfig.toml defines the stages. PERMISSIONS_BOUNDARY, if set, is the ARN of the permissions boundary of the
functions' roles.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "infra"))

from lint import TOOLS  # noqa: E402
from python_environment import FUNCTIONS, PROJECT, Failure  # noqa: E402

# Stage -> the environment of samconfig.toml.
STAGES = {"dev": "default", "prod": "prod"}
TEMPLATE = PROJECT / "target" / "deploy" / "template.yaml"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=sorted(STAGES), required=True)
    parser.add_argument("--architecture", choices=("arm64", "x86_64"), default="arm64", help="(default: %(default)s)")
    args = parser.parse_args()
    try:
        packages = PROJECT / "target" / "lambda" / args.architecture
        TEMPLATE.parent.mkdir(parents=True, exist_ok=True)
        TEMPLATE.write_text(with_packages((PROJECT / "template.yaml").read_text(), packages))
        TOOLS.ensure()
    except Failure as failure:
        print(f"deploy-sam: {failure}", file=sys.stderr)
        return 1
    command = [
        str(TOOLS.venv / "bin" / "sam"), "deploy", "--template-file", str(TEMPLATE), "--config-file", str(PROJECT / "samconfig.toml"),
        "--config-env", STAGES[args.stage], "--no-confirm-changeset", *region(), "--parameter-overrides", *overrides(args),
    ]
    return subprocess.run(command, cwd=PROJECT, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}).returncode


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


def region() -> list[str]:
    """Returns the option for the region, because the SAM CLI reads AWS_DEFAULT_REGION and not AWS_REGION."""
    named = os.environ.get("AWS_REGION")
    return ["--region", named] if named else []


def overrides(args: argparse.Namespace) -> list[str]:
    """Returns the stage's parameters and ours, because parameters on the command line replace all those of the file."""
    config = (PROJECT / "samconfig.toml").read_text()
    stage = re.search(rf"\[{STAGES[args.stage]}\.deploy\.parameters\](.*?)(?:\n\[|\Z)", config, re.DOTALL)
    stated = re.search(r'^parameter_overrides = "(.*)"$', stage[1], re.MULTILINE) if stage else None
    own = [f"Architecture={args.architecture}"]
    if boundary := os.environ.get("PERMISSIONS_BOUNDARY"):
        own.append(f"PermissionsBoundary={boundary}")
    return [*(stated[1].split() if stated else []), *own]


if __name__ == "__main__":
    sys.exit(main())
