"""Deploys the stack by Terraform: applies a root of its own, which uses a copy of the module infra/terraform, to the local AWS."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from environment import PROJECT, Failure
from stack import architecture, progress

MODULE = PROJECT / "infra" / "terraform"
# Prefixes of the user's variables that must not affect a local stack.
FOREIGN = ("AWS_", "TF_VAR_", "TF_CLI_ARGS", "TF_DATA_DIR", "TF_WORKSPACE")
# The state lies beside the root, and bucket names are put in paths.
ROOT = {
    "terraform": {"backend": {"local": {}}},
    "provider": {"aws": {"s3_use_path_style": True}},
    "output": {"tripcast": {"value": "${module.tripcast}"}},
}


def deploy(endpoint: str, stack: str, home: Path, zips: Path, parameters: dict[str, str]) -> dict[str, str]:
    """Creates or updates the stack; returns its outputs. State and files in `home` are deleted with the server."""
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
    command = [terraform(), f"-chdir={folder}", "output", "-json", "tripcast"]
    done = subprocess.run(command, env=environment(endpoint), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"terraform output failed: {' '.join(done.stderr.split())}")
    return {camel_case(name): value for name, value in json.loads(done.stdout).items() if value is not None}


def folder_of(home: Path, stack: str) -> Path:
    return home / f"terraform-{stack}"


# --- the copy ---


def prepare(folder: Path, values: dict[str, str | None]) -> None:
    """Writes the root and copies the module's current files; only the state and the provider are kept from earlier deployments."""
    module = folder / "module"
    module.mkdir(parents=True, exist_ok=True)
    for pattern in ("*.tf", "*.tftpl"):
        for old in module.glob(pattern):
            old.unlink()
        for file in MODULE.glob(pattern):
            shutil.copy(file, module)
    # A value of null is the module's default.
    uses = {"module": {"tripcast": {"source": "./module", **values}}}
    (folder / "main.tf.json").write_text(json.dumps({**ROOT, **uses}, indent=2))


def variables(parameters: dict[str, str]) -> dict[str, str | None]:
    """Converts parameters of the template to variables; an empty value becomes null."""
    known = set(re.findall(r'^variable "(\w+)"', (MODULE / "variables.tf").read_text(), flags=re.MULTILINE))
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
    """Yields terraform's messages as they arrive; raises a Failure with its errors if it ends with one."""
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
    # The line of variables.tf that refused a value does not help whoever set it.
    detail = " ".join(diagnostic.get("detail", "").partition("This was checked by")[0].split())
    return f"{where}{diagnostic.get('summary', message.get('@message'))}{f' ({detail})' if detail else ''}"


def report(message: dict) -> None:
    """Prints how many resources were changed. Alarms and invoke configurations change even if the stack is up to date:
    the server returns fewer fields of an alarm than it stores, and a maximum event age that nobody set."""
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
    """Returns the environment in which the provider calls `endpoint` for every service, with dummy keys."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # Terraform does not look for a newer version.
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
    }
