"""Tries a deployed stack in a few minutes: a line for each thing that works, and exit 1 at the first that does not.

    python3 tools/deploy/smoke.py --stage dev          (by `make smoke STAGE=dev`; DEPLOY_WITH=terraform for that tool's outputs)

A message becomes a prediction and a bad one is rejected; a file becomes predictions and a summary; the retrainer reports ages; a metric
arrives from a function's log; an alarm that is set by hand is delivered. What it put into the stack it takes out again. Messages of others
that it receives while it looks for its own are back in the queue after a second.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "infra"))

from lint import TOOLS  # noqa: E402
from python_environment import PROJECT, Failure  # noqa: E402
from stage import STACKS  # noqa: E402

# A month that is long past, so that its days stand apart in reports until its profiles are removed.
MONTH = PROJECT / "tests" / "fixtures" / "trips" / "green_tripdata_2021-01.parquet"
SECONDS_MAX = 120
# Metrics come by way of the log.
METRIC_SECONDS_MAX = 420
ALARM = "NoRetraining"
TRIP = {"PULocationID": 130, "DOLocationID": 205, "trip_distance": 3.66}


class Smoke:
    def __init__(self, outputs: dict[str, str]) -> None:
        import boto3

        # boto3 does not read AWS_REGION.
        region = os.environ.get("AWS_REGION") or None
        self.outputs = outputs
        self.sqs, self.s3, self.functions, self.cloudwatch, self.sns = (
            boto3.client(name, region_name=region) for name in ("sqs", "s3", "lambda", "cloudwatch", "sns"))
        self.name = f"smoke-{uuid.uuid4().hex[:12]}"
        # With allowance for a clock that is fast.
        self.began = datetime.now(timezone.utc) - timedelta(seconds=30)

    def age(self) -> str:
        answer = self.functions.invoke(FunctionName=self.outputs["RetrainerFunctionName"], Payload=json.dumps({"report": "age"}))
        age = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise Failure(f"the retrainer failed: {age}")
        if age.get("model_hours") is None:
            raise Failure("there is no champion yet: retrain first (docs/OPERATIONS.md)")
        return f"the champion is {age['model_hours']:.1f} hours old"

    def message(self) -> str:
        self.send({"ride_id": self.name, "ride": TRIP})
        body = json.loads(self.received("PredictionsQueueUrl")["Body"])
        return f"a message was answered: {body['prediction']['ride_duration']:.1f} minutes by {body['version']}"

    def rejected(self) -> str:
        self.send({"ride_id": self.name, "ride": {"DOLocationID": 205}})
        reject = self.received("RejectsQueueUrl")
        reason = reject.get("MessageAttributes", {}).get("reason", {}).get("StringValue", "without a reason")
        return f"a bad message was rejected: {reason}"

    def file(self) -> str:
        bucket, name = self.outputs["DataBucketName"], f"{self.name}/{MONTH.name}"
        try:
            self.s3.upload_file(str(MONTH), bucket, f"incoming/{name}")
            found = self.until(lambda: self.keys(bucket, "summaries/"), "a summary of the file")
            summary = json.loads(self.s3.get_object(Bucket=bucket, Key=found[0])["Body"].read())
            return f"a file was predicted: {summary.get('predicted', summary.get('rows'))} rows"
        finally:
            # The monitor looks at the profile for a moment, and then finds it gone.
            for key in self.keys(bucket, ""):
                self.s3.delete_object(Bucket=bucket, Key=key)

    def metric(self) -> str:
        if "AWS_ENDPOINT_URL" in os.environ:
            return "NOT RUN: a metric from the log (a local AWS makes none of what a function logs)"

        def found() -> list:
            now = datetime.now(timezone.utc)
            listed = self.cloudwatch.get_metric_statistics(
                Namespace="tripcast", MetricName="ModelAgeHours", Statistics=["Maximum"], Period=60,
                StartTime=self.began.replace(second=0, microsecond=0), EndTime=now + timedelta(minutes=1),
                Dimensions=[{"Name": "function", "Value": self.outputs["RetrainerFunctionName"]}])
            return listed["Datapoints"]

        self.until(found, "the metric ModelAgeHours", METRIC_SECONDS_MAX)
        return "a metric came by way of the log"

    def alarm(self) -> str:
        topic = self.outputs["AlarmTopicArn"]
        subscribed = self.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        confirmed = [one for one in subscribed if one["SubscriptionArn"].startswith("arn:")]
        if not confirmed and "AWS_ENDPOINT_URL" not in os.environ and os.environ.get("ALARMS_ELSEWHERE") != "yes":
            raise Failure("nobody has confirmed a subscription to the topic of alarms; ALARMS_ELSEWHERE=yes does without")
        alarms = [one for page in self.cloudwatch.get_paginator("describe_alarms").paginate() for one in page["MetricAlarms"]]
        ours = sorted(one["AlarmName"] for one in alarms if topic in one["AlarmActions"])
        if not ours:
            raise Failure("no alarm of the stack has the topic as its action")
        chosen = next((one for one in ours if ALARM in one or "no-retraining" in one), ours[0])
        # An alarm that rings already would send nothing.
        for state in ("OK", "ALARM"):
            self.cloudwatch.set_alarm_state(AlarmName=chosen, StateValue=state, StateReason="tried by hand (make smoke)")

        def delivered() -> list:
            history = self.cloudwatch.describe_alarm_history(
                AlarmName=chosen, HistoryItemType="Action", StartDate=self.began, EndDate=datetime.now(timezone.utc) + timedelta(minutes=1))
            return [one for one in history["AlarmHistoryItems"] if "Successfully executed" in one["HistorySummary"]]

        if "AWS_ENDPOINT_URL" in os.environ:
            return f"an alarm was set: {chosen} (a local AWS keeps no history of its actions)"
        self.until(delivered, f"the action of {chosen}")
        return f"an alarm was delivered: {chosen}, to {len(confirmed)} subscribers"

    def send(self, body: dict) -> None:
        self.sqs.send_message(QueueUrl=self.outputs["TripsQueueUrl"], MessageBody=json.dumps(body))

    def received(self, queue: str) -> dict:
        """Receives until our own message comes, which is then deleted."""
        url = self.outputs[queue]

        def own() -> list[dict]:
            answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2, VisibilityTimeout=1,
                                              MessageAttributeNames=["All"])
            return [one for one in answer.get("Messages", []) if self.name in one["Body"]]

        [message, *_] = self.until(own, f"our message in {queue.removesuffix('Url')}")
        self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return message

    def keys(self, bucket: str, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", []) if self.name in one["Key"]]

    def until(self, found: Callable[[], list], what: str, seconds_max: float = SECONDS_MAX) -> list:
        end = time.monotonic() + seconds_max
        while time.monotonic() < end:
            if here := found():
                return here
            time.sleep(1)
        raise Failure(f"{what} did not come within {seconds_max:.0f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=sorted(STACKS), required=True)
    parser.add_argument("--stack", help="name of the stack, if it is not that of the stage")
    parser.add_argument("--with", dest="tool", choices=("sam", "terraform"), default="sam", help="(default: %(default)s)")
    parser.add_argument("--outputs", type=Path, help="outputs as JSON, in place of asking the tool")
    args = parser.parse_args()
    try:
        TOOLS.ensure()
        TOOLS.reenter()
        from botocore.exceptions import BotoCoreError, ClientError

        smoke = Smoke(outputs(args))
        for check in (smoke.age, smoke.message, smoke.rejected, smoke.file, smoke.metric, smoke.alarm):
            try:
                print(f"smoke: {check()}", flush=True)
            except (BotoCoreError, ClientError) as error:
                raise Failure(f"{check.__name__.replace('_', ' ')}: {error}") from error
    except Failure as failure:
        print(f"smoke: {failure}", file=sys.stderr)
        return 1
    return 0


def outputs(args: argparse.Namespace) -> dict[str, str]:
    """Returns the outputs of the stack by their names in template.yaml."""
    if args.outputs:
        found = json.loads(args.outputs.read_text())
    elif args.tool == "terraform":
        root = PROJECT / "infra" / "terraform" / "stages" / args.stage
        done = subprocess.run(["terraform", f"-chdir={root}", "output", "-json", "tripcast"], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"terraform output: {done.stderr.strip()[-300:]}")
        found = json.loads(done.stdout)
    else:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        name = args.stack or STACKS[args.stage]
        try:
            client = boto3.client("cloudformation", region_name=os.environ.get("AWS_REGION") or None)
            [stack] = client.describe_stacks(StackName=name)["Stacks"]
        except (BotoCoreError, ClientError, ValueError) as error:
            raise Failure(f"the stack {name} cannot be read: {error}") from error
        found = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    # Terraform's names are in snake case.
    return {re.sub(r"(?:^|_)([a-z])", lambda part: part[1].upper(), name) if "_" in name else name: value for name, value in found.items()}


if __name__ == "__main__":
    sys.exit(main())
