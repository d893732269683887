"""Deploys template.yaml with CloudFormation, unchanged but for the packages in place of the sources."""

import hashlib
import json
import platform
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from samtranslator.yaml_helper import yaml_parse
from yaml import YAMLError

from environment import Failure

DEPLOY_SECONDS_MAX = 120
POLL_SECONDS = 0.3
DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
# CloudFormation can only delete a stack whose creation failed.
DEAD = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}
FAILED_RESOURCE = {"CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED"}


def deploy(endpoint: str, stack: str, template_file: Path, zips: Path, parameters: dict[str, str]) -> dict[str, str]:
    """Creates or updates the stack; returns its outputs."""
    template = read_template(template_file)
    packages = find_packages(template, zips)
    try:
        upload_packages(endpoint, stack, template, packages, parameters)
        resolve_concurrency(template, parameters)
        url = upload_template(endpoint, stack, template)
        apply(client(endpoint, "cloudformation"), stack, url, {"Architecture": architecture(), **parameters})
    except (BotoCoreError, ClientError) as error:
        raise Failure(f"deploying stack {stack}: {error}") from error
    return outputs(endpoint, stack)


def outputs(endpoint: str, stack: str) -> dict[str, str]:
    found = describe(client(endpoint, "cloudformation"), stack)
    if found is None:
        raise Failure(f"there is no stack {stack}; run `deploy` first")
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def variables(endpoint: str, stack: str) -> dict[str, dict[str, str]]:
    """Returns the variables of each function of a stack, by the function's logical id."""
    resources = client(endpoint, "cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    lambda_ = client(endpoint, "lambda")
    return {
        resource["LogicalResourceId"]: lambda_.get_function_configuration(FunctionName=resource["PhysicalResourceId"])["Environment"]["Variables"]
        for resource in resources if resource["ResourceType"] == "AWS::Lambda::Function"
    }


def client(endpoint: str, service: str):
    return boto3.client(
        service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test", config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
    )


def progress(text: str) -> None:
    print(f"local AWS: {text}", file=sys.stderr)


# --- the template and its packages ---


def read_template(file: Path) -> dict:
    try:
        return yaml_parse(file.read_text())
    except (OSError, ValueError, YAMLError) as error:
        raise Failure(f"cannot read {file.name}: {error}") from error


def functions(template: dict) -> dict[str, dict]:
    return {
        name: resource for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def find_packages(template: dict, zips: Path) -> dict[str, Path]:
    """Returns the package of each function by its logical id."""
    packages = {}
    for name, function in functions(template).items():
        binary = function["Metadata"]["BuildProperties"]["Binary"]
        packages[name] = zips / binary / "bootstrap.zip"
    missing = [str(package) for package in packages.values() if not package.is_file()]
    if missing:
        raise Failure(f"no package {', '.join(missing)}; make them with infra/package.py")
    return packages


def upload_packages(endpoint: str, stack: str, template: dict, packages: dict[str, Path], parameters: dict[str, str]) -> None:
    s3 = client(endpoint, "s3")
    bucket = artifacts(stack)
    s3.create_bucket(Bucket=bucket)
    stated = json.dumps([template, parameters], sort_keys=True).encode()
    for name, package in packages.items():
        content = package.read_bytes()
        # The key contains a hash of the package, so CloudFormation sees new code exactly when it has changed.
        key = f"{package.parent.name}/{hashlib.sha256(content).hexdigest()}.zip"
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        properties = template["Resources"][name]["Properties"]
        properties["CodeUri"] = {"Bucket": bucket, "Key": key}
        if "AutoPublishAlias" in properties:
            # As tools/deploy/sam.py does: SAM would not notice that only a parameter has changed.
            properties["AutoPublishCodeSha256"] = hashlib.sha256(stated + content).hexdigest()[:16]
        progress(f"uploaded {package.parent.name} ({len(content) / 1_000_000:.1f} MB)")


def upload_template(endpoint: str, stack: str, template: dict) -> str:
    """Returns the address of the template: CloudFormation takes one of more than 51,200 bytes only from S3."""
    bucket, key = artifacts(stack), "template.json"
    client(endpoint, "s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(template).encode())
    return f"{endpoint}/{bucket}/{key}"


def artifacts(stack: str) -> str:
    return f"{stack.lower()}-artifacts"


def resolve_concurrency(template: dict, parameters: dict[str, str]) -> None:
    """Replaces references to concurrency parameters by numbers: AWS converts their text, but the local AWS does not."""
    for function in functions(template).values():
        for event in function["Properties"].get("Events", {}).values():
            scaling = event["Properties"].get("ScalingConfig", {})
            if name := dict(scaling.get("MaximumConcurrency") or {}).get("Ref"):
                scaling["MaximumConcurrency"] = int(parameters.get(name, template["Parameters"][name]["Default"]))


def architecture() -> str:
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"


# --- CloudFormation ---


def apply(cloudformation, stack: str, template_url: str, parameters: dict[str, str]) -> None:
    found = describe(cloudformation, stack)
    if found and found["StackStatus"] in DEAD:
        progress(f"removing what is left of a failed {stack}")
        cloudformation.delete_stack(StackName=stack)
        wait_until_settled(cloudformation, stack)
        found = None
    request = {
        "StackName": stack,
        "TemplateURL": template_url,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    earlier_events = event_ids(cloudformation, stack) if found else set()
    progress(f"{'updating' if found else 'creating'} stack {stack}")
    try:
        cloudformation.update_stack(**request) if found else cloudformation.create_stack(**request)
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise
        progress("nothing has changed")
        return
    status = wait_until_settled(cloudformation, stack)
    if status not in DONE:
        reasons = failure_reasons(cloudformation, stack, earlier_events)
        raise Failure(f"stack {stack} ended as {status}:\n{reasons}")


def describe(cloudformation, stack: str) -> dict | None:
    try:
        return cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def wait_until_settled(cloudformation, stack: str) -> str:
    deadline = time.monotonic() + DEPLOY_SECONDS_MAX
    while True:
        found = describe(cloudformation, stack)
        status = found["StackStatus"] if found else "DELETE_COMPLETE"
        if not status.endswith("_IN_PROGRESS"):
            return status
        if time.monotonic() > deadline:
            raise Failure(f"stack {stack} is still {status} after {DEPLOY_SECONDS_MAX} s")
        time.sleep(POLL_SECONDS)


def event_ids(cloudformation, stack: str) -> set[str]:
    return {event["EventId"] for event in events(cloudformation, stack)}


def events(cloudformation, stack: str) -> list[dict]:
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
    return [event for page in pages for event in page["StackEvents"]]


def failure_reasons(cloudformation, stack: str, earlier_events: set[str]) -> str:
    lines = [
        f"  {event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', 'no reason given')}"
        for event in reversed(events(cloudformation, stack))
        if event["ResourceStatus"] in FAILED_RESOURCE and event["EventId"] not in earlier_events
    ]
    return "\n".join(lines) or "  no resource says why; see the log that `status` names"
