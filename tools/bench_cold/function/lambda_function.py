"""The course's job as a Lambda function: it predicts the durations of rides in messages and sends them to a queue."""

import base64
import json
import os

import boto3
import predictor

MODEL = predictor.load(os.environ["MODEL_PATH"])
QUEUE_URL = os.environ["PREDICTIONS_QUEUE_URL"]
SQS = boto3.client("sqs")


def lambda_handler(event: dict, _context: object) -> dict:
    messages = [message_of(record) for record in event["Records"]]
    durations = MODEL.predict([features_of(message["ride"]) for message in messages])
    entries = [entry(at, message["ride_id"], float(durations[at])) for at, message in enumerate(messages)]
    refused = []
    # SQS takes ten messages at once.
    for at in range(0, len(entries), 10):
        sent = SQS.send_message_batch(QueueUrl=QUEUE_URL, Entries=entries[at:at + 10])
        refused += [event["Records"][int(one["Id"])]["messageId"] for one in sent.get("Failed", [])]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in refused]}


def message_of(record: dict) -> dict:
    """Decodes a record of Kinesis, as in the course, or of SQS."""
    if "kinesis" in record:
        return json.loads(base64.b64decode(record["kinesis"]["data"]))
    return json.loads(record["body"])


def features_of(ride: dict) -> dict:
    return {"PU_DO": f"{ride['PULocationID']}_{ride['DOLocationID']}", "trip_distance": ride["trip_distance"]}


def entry(at: int, ride_id: object, duration: float) -> dict:
    predicted = {"model": "ride_duration_prediction_model", "prediction": {"ride_duration": duration, "ride_id": ride_id}}
    return {"Id": str(at), "MessageBody": json.dumps(predicted)}
