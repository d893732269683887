"""Client of the deployed application: its queues, its data bucket, and its retrainer."""

import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.config import Config

import stack
from environment import Failure

# Largest number of messages in one call of SQS.
MESSAGES_A_CALL = 10
CALLERS = 4
RETRAIN_SECONDS_MAX = 300
WAIT_SECONDS_MAX = 120
POLL_SECONDS = 0.1
# Rejected messages are only inspected: after this time they are visible in their queue again.
PEEK_SECONDS = 2


@dataclass
class Seen:
    """The application's output so far."""

    predictions: dict[str, dict] = field(default_factory=dict)
    repeats: int = 0
    rejected: int = 0
    trips_left: int = 0
    summary: dict | None = None
    # When the last prediction and the file's summary were seen, on the monotonic clock.
    last_prediction_at: float = 0
    summary_at: float = 0

    def lacks(self, predictions: int, rejected: int) -> list[str]:
        states = [
            (len(self.predictions) == predictions, f"{len(self.predictions)} of {predictions} predictions"),
            (self.rejected == rejected, f"{self.rejected} of {rejected} rejected messages"),
            (self.trips_left == 0, f"{self.trips_left} messages still in the trips queue"),
            (self.summary is not None, "no predictions of the file yet"),
        ]
        return [text for reached, text in states if not reached]


class Application:
    def __init__(self, endpoint: str, outputs: dict[str, str]):
        self.endpoint = endpoint
        self.outputs = outputs
        self.s3 = stack.client(endpoint, "s3")
        self.sqs = stack.client(endpoint, "sqs")

    # --- in ---

    def put(self, file: Path, folder: str) -> str:
        key = f"{folder}/{file.name}"
        self.s3.put_object(Bucket=self.outputs["DataBucketName"], Key=key, Body=file.read_bytes())
        return key

    def retrain(self, now: str) -> dict:
        """Trains the models as of a day, waits for the end, and returns the retrainer's record of the run."""
        # A repeated request would start a second retraining, so there is a long timeout and no retry.
        patient = Config(read_timeout=RETRAIN_SECONDS_MAX, retries={"max_attempts": 0})
        lambda_ = boto3.client(
            "lambda", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test", config=patient,
        )
        name = self.outputs["RetrainerFunctionName"]
        answer = lambda_.invoke(FunctionName=name, Payload=json.dumps({"now": now}))
        run = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise Failure(f"the retrainer failed: {run.get('errorType')}: {run.get('errorMessage')}")
        if "targets" not in run:
            raise Failure(f"the retrainer did not answer with a run but with {json.dumps(run)[:200]}")
        if reason := run.get("nothing_to_do"):
            raise Failure(f"the retrainer found nothing to do: {reason}")
        return run

    def send(self, bodies: list[str]) -> None:
        calls = [bodies[at:at + MESSAGES_A_CALL] for at in range(0, len(bodies), MESSAGES_A_CALL)]
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(self.send_call, calls))

    def send_call(self, bodies: list[str]) -> None:
        entries = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies)]
        answer = self.sqs.send_message_batch(QueueUrl=self.outputs["TripsQueueUrl"], Entries=entries)
        if failed := answer.get("Failed"):
            raise Failure(f"the trips queue refused {len(failed)} messages: {failed[0].get('Message')}")

    # --- out ---

    def wait(self, predictions: int, rejected: int, file: str) -> Seen:
        """Waits for the given numbers of predictions and rejected messages, and for the predictions of a file."""
        seen, deadline = Seen(), time.monotonic() + WAIT_SECONDS_MAX
        try:
            while lacks := self.look(seen, file).lacks(predictions, rejected):
                live(", ".join(lacks))
                self.refuse_dead_ends(seen, rejected, file)
                if time.monotonic() > deadline:
                    raise Failure(f"not done after {WAIT_SECONDS_MAX} s: {', '.join(lacks)}")
                time.sleep(POLL_SECONDS)
        finally:
            live("")
        return seen

    def look(self, seen: Seen, file: str) -> Seen:
        for prediction in self.take_predictions():
            seen.repeats += prediction["id"] in seen.predictions
            seen.predictions[prediction["id"]] = prediction
            seen.last_prediction_at = time.monotonic()
        seen.rejected = self.waiting("RejectsQueueUrl")
        seen.trips_left = self.waiting("TripsQueueUrl")
        if seen.summary is None and (found := self.summary(file)):
            seen.summary, seen.summary_at = found, time.monotonic()
        return seen

    def take_predictions(self) -> Iterable[dict]:
        """Yields all predictions in the queue and deletes them there, as any consumer does."""
        with ThreadPoolExecutor(CALLERS) as pool:
            while calls := [call for call in pool.map(self.take_call, range(CALLERS)) if call]:
                yield from (prediction for call in calls for prediction in call)

    def take_call(self, _: int) -> list[dict]:
        queue = self.outputs["PredictionsQueueUrl"]
        messages = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=MESSAGES_A_CALL).get("Messages", [])
        handles = [{"Id": str(at), "ReceiptHandle": message["ReceiptHandle"]} for at, message in enumerate(messages)]
        if handles:
            self.sqs.delete_message_batch(QueueUrl=queue, Entries=handles)
        return [json.loads(message["Body"]) for message in messages]

    def waiting(self, queue: str) -> int:
        """Returns the number of messages in a queue, including those that a consumer has received but not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def rejects(self, count: int) -> list[dict[str, str]]:
        """Returns the rejected messages with their reasons; they stay in their queue."""
        rejects, deadline = {}, time.monotonic() + PEEK_SECONDS
        while len(rejects) < count and time.monotonic() < deadline:
            answer = self.sqs.receive_message(
                QueueUrl=self.outputs["RejectsQueueUrl"], MaxNumberOfMessages=MESSAGES_A_CALL,
                VisibilityTimeout=PEEK_SECONDS, MessageAttributeNames=["All"],
            )
            rejects.update({message["MessageId"]: message for message in answer.get("Messages", [])})
        return [reject(message) for message in rejects.values()]

    def summary(self, file: str) -> dict | None:
        """Returns the batch predictor's summary of a file, once its predictions are complete; None before."""
        key = next((key for key in self.keys("summaries/") if key.endswith(f"/{file}.json")), None)
        return self.read(key) if key else None

    def refuse_dead_ends(self, seen: Seen, rejected: int, file: str) -> None:
        """Raises a Failure for states that waiting cannot change."""
        if seen.rejected > rejected:
            reasons = sorted({one["reason"] for one in self.rejects(seen.rejected)})
            raise Failure(f"{seen.rejected} rejected messages, expected {rejected} ({', '.join(reasons)})")
        if dead := self.waiting("DeadLetterQueueUrl"):
            raise Failure(f"{dead} messages are in the dead-letter queue: they were received too often")
        key = f"quarantine/{file}.error.json"
        if key in self.keys(key):
            why = self.read(key)
            raise Failure(f"{file} was not predicted: {why.get('outcome')}, {why.get('detail')}")
        if self.waiting("BatchFailuresQueueUrl"):
            raise Failure(f"predicting {file} failed for good; the failures queue holds the event and its error")

    def keys(self, prefix: str) -> list[str]:
        answer = self.s3.list_objects_v2(Bucket=self.outputs["DataBucketName"], Prefix=prefix)
        return [found["Key"] for found in answer.get("Contents", [])]

    def read(self, key: str) -> dict:
        return json.loads(self.s3.get_object(Bucket=self.outputs["DataBucketName"], Key=key)["Body"].read())

    def write_logs(self, to: Path) -> None:
        """Writes the logs of all functions to a file; the server's own log holds only a part of them."""
        client = stack.client(self.endpoint, "logs")
        with open(to, "w") as log:
            for group in client.describe_log_groups()["logGroups"]:
                print(f"== {group['logGroupName']}", file=log)
                pages = client.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
                log.writelines(f"{event['message'].strip()}\n" for page in pages for event in page["events"])


def reject(message: dict) -> dict[str, str]:
    attributes = message.get("MessageAttributes", {})
    stated = {name: attributes.get(name, {}).get("StringValue", "") for name in ("reason", "detail")}
    return {**stated, "body": message["Body"]}


def live(text: str) -> None:
    """Prints a line that replaces the one before it, on terminals only, because it would fill a log."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
