"""The stack by Terraform: a copy of infra/terraform, with what makes it local beside it, applied to the local AWS."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from environment import PROJECT, Failure
from stack import architecture, progress

ROOT = PROJECT / "infra" / "terraform"
# What of the user's environment must have no say in a local stack.
FOREIGN = ("AWS_", "TF_VAR_", "TF_CLI_ARGS", "TF_DATA_DIR", "TF_WORKSPACE")
# Terraform lays a file called *_override over the others. The state stays beside it, and buckets are paths of one host.
OVERRIDE = {"terraform": {"backend": {"local": {}}}, "provider": {"aws": {"s3_use_path_style": True}}}


def deploy(endpoint: str, stack: str, home: Path, zips: Path, parameters: dict[str, str]) -> dict[str, str]:
    """Creates or updates the stack; its outputs. State and all lie in `home`, and go with the server."""
    folder = folder_of(home, stack)
    defaults = {"name": stack, "packages": str(zips.resolve()), "architecture": architecture()}
    prepare(folder, {**defaults, **variables(parameters)})
    for _ in run(endpoint, folder, "init"):
        pass
    progress(f"terraform applies stack {stack} (about a minute: a queue takes 25 s, by the provider's own waiting)")
    for message in run(endpoint, folder, "apply", "-auto-approve"):
        report(message)
    return outputs(endpoint, stack, home)


def outputs(endpoint: str, stack: str, home: Path) -> dict[str, str]:
    folder = folder_of(home, stack)
    if not (folder / "terraform.tfstate").is_file():
        raise Failure(f"there is no stack {stack} made by terraform; run `deploy --with terraform` first")
    command = [terraform(), f"-chdir={folder}", "output", "-json"]
    done = subprocess.run(command, env=environment(endpoint), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"terraform output failed: {' '.join(done.stderr.split())}")
    return {camel_case(name): output["value"] for name, output in json.loads(done.stdout).items()}


def folder_of(home: Path, stack: str) -> Path:
    return home / f"terraform-{stack}"


# --- the copy ---


def prepare(folder: Path, values: dict[str, str | None]) -> None:
    """The files as they stand now; only the state and the provider stay from an earlier time."""
    folder.mkdir(exist_ok=True)
    for pattern in ("*.tf", "*.tftpl"):
        for old in folder.glob(pattern):
            old.unlink()
        for file in ROOT.glob(pattern):
            shutil.copy(file, folder)
    (folder / "local_override.tf.json").write_text(json.dumps(OVERRIDE, indent=2))
    (folder / "terraform.tfvars.json").write_text(json.dumps(values, indent=2))


def variables(parameters: dict[str, str]) -> dict[str, str | None]:
    """Parameters of the template as variables; an empty one is none at all."""
    known = set(re.findall(r'^variable "(\w+)"', (ROOT / "variables.tf").read_text(), flags=re.MULTILINE))
    named = {snake_case(name): value or None for name, value in parameters.items()}
    if unknown := sorted(set(named) - known):
        raise Failure(f"infra/terraform has no variable {', '.join(unknown)}")
    return named


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def camel_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


# --- terraform ---


def run(endpoint: str, folder: Path, verb: str, *options: str) -> Iterator[dict]:
    """What terraform says, as it says it; a failure in its own words, once it has ended with one."""
    command = [terraform(), f"-chdir={folder}", verb, "-json", "-input=false", *options]
    errors, other = [], []
    with subprocess.Popen(
        command, env=environment(endpoint), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                other.append(line.strip())
                continue
            if message.get("@level") == "error":
                errors.append(error_of(message))
            yield message
    if process.returncode != 0:
        reasons = errors or [line for line in other if line][-1:] or ["it said nothing"]
        raise Failure(f"terraform {verb} failed: {'; '.join(reasons)}")


def error_of(message: dict) -> str:
    diagnostic = message.get("diagnostic", {})
    where = f"{diagnostic['address']}: " if diagnostic.get("address") else ""
    # Which line of variables.tf refused a value is nothing that its giver can use.
    detail = " ".join(diagnostic.get("detail", "").partition("This was checked by")[0].split())
    return f"{where}{diagnostic.get('summary', message.get('@message'))}{f' ({detail})' if detail else ''}"


def report(message: dict) -> None:
    """How much was done. Of a stack that is up to date the alarms and the invoke configurations are changed all the same:
    of an alarm the server tells less than it keeps, and of a configuration an age of events that nobody set."""
    if message.get("type") == "change_summary" and message["changes"]["operation"] == "apply":
        done = {"added": "add", "changed": "change", "removed": "remove"}
        counts = {what: message["changes"][key] for what, key in done.items()}
        progress(", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing has changed")


def terraform() -> str:
    own = os.environ.get("TERRAFORM") or "terraform"
    if found := shutil.which(own):
        return found
    raise Failure(f"there is no {own}; install terraform 1.10 or later, or name it in TERRAFORM")


def environment(endpoint: str) -> dict[str, str]:
    """The provider goes to `endpoint` for every service, with keys that are none."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # No asking for a newer terraform.
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
    }
