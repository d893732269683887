#!/usr/bin/env python3
"""Runs the whole system once on this machine: it trains models on two months of trips, predicts a thousand messages
and a month in one file, and prints one page of results.

It needs the release binaries and their packages: `make demo` builds them first. It starts a new local AWS on port
LOCAL_AWS_PORT (default 4566, or a free one if that is taken) and leaves it running for inspection. Trips come from
TRIPS_DIR, else from the sample in this repository; the page says which.
"""

import argparse
import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import environment
import local_aws
import messages
import server
from environment import PROJECT, Failure
from trips import MONTHS, SAMPLE, Source, find

STACK = "tripcast"
PARAMETERS = {"TripsVisibilitySeconds": "6", "ModelRefreshSeconds": "1", "StreamShards": "1"}
LEARN_MONTH, JUDGE_MONTH, LIVE_MONTH = MONTHS
NOW = "2021-03-15"
MESSAGES = 1_000
# Durations, in minutes, that are evaluated: the course's rule, which also applies to the metrics of models and files.
JUDGED_MIN = (1, 60)
# Position of a message -> function that breaks it, as a careless sender might.
BROKEN: dict[int, Callable[[dict], str]] = {
    250: lambda message: json.dumps(message)[:40],
    500: lambda message: json.dumps({**message, "ride": without(message["ride"], "PULocationID")}),
    750: lambda message: json.dumps({**message, "ride_id": [message["ride_id"]]}),
}


class Steps:
    """The steps of the demo: each is announced and timed, and a failure names its step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, doing: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        say(doing)
        started = time.monotonic()
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise Failure(f"{doing}: {error}") from error
        self.seconds[doing] = time.monotonic() - started


def demo(port: int, source: Source, steps: Steps) -> str:
    """Runs the demo; returns the page of results."""
    # Imported here because it needs boto3, which only the environment's Python has.
    from application import Application

    with steps.step("starting the local AWS and deploying"):
        app = Application(server.endpoint(port), deploy_fresh(port))
    try:
        page = walk(app, source, steps)
    finally:
        keep_logs(app, port)
    return f"{page}\n\n{where(port, app.outputs)}"


def walk(app, source: Source, steps: Steps) -> str:
    """Trains and predicts with the deployed application; returns the page without its last section."""
    with steps.step("training both models"):
        for month in (LEARN_MONTH, JUDGE_MONTH):
            app.put(source.file(month), "history")
        run = app.retrain(NOW)
    if not any(target["promoted"] for target in run["targets"] if target["target"] == "duration"):
        raise Failure("no duration model was promoted, so nothing can be predicted")
    file = source.file(LIVE_MONTH)
    with steps.step("reading trips as messages"):
        sent = messages.sample(file, MESSAGES)
        took = {json.dumps(message["ride_id"]): message.pop("actual_duration", None) for message in sent}
    with steps.step("predicting messages and file"):
        begun = time.monotonic()
        app.put(file, "incoming")
        app.send([body(place, message) for place, message in enumerate(sent)])
        seen = app.wait(MESSAGES - len(BROKEN), len(BROKEN), file.name)
        rejects = app.rejects(len(BROKEN))
    predicted = {"messages": seen.last_prediction_at - begun, "file": seen.summary_at - begun}
    parts = [
        heading(source), models(run), streamed(seen, sent, took, rejects), dropped(seen.summary),
        timings(steps.seconds, predicted),
    ]
    return "\n\n".join(parts)


def keep_logs(app, port: int) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    # A server that has ended gives no logs; the failure to report is why it ended, not this error.
    with contextlib.suppress(BotoCoreError, ClientError):
        app.write_logs(functions_log(port))


def deploy_fresh(port: int) -> dict[str, str]:
    """Deploys a new stack on a new server; a server that is running is stopped, and its data is lost."""
    import stack

    functions_log(port).unlink(missing_ok=True)
    if server.recorded(port):
        say(f"the local AWS on port {port} is started anew: what it held is gone")
        server.stop(port)
    server.start(port, environment.ensure())
    zips = PROJECT / "target" / "local"
    outputs = stack.deploy(server.endpoint(port), STACK, PROJECT / "template.yaml", zips, PARAMETERS)
    local_aws.expose_to_containers(port, STACK)
    return outputs


def body(place: int, message: dict) -> str:
    return BROKEN.get(place, json.dumps)(message)


def without(fields: dict, name: str) -> dict:
    return {key: value for key, value in fields.items() if key != name}


# --- the page ---


def heading(source: Source) -> str:
    use = f"green {LEARN_MONTH} to learn from, {JUDGE_MONTH} to judge on, {LIVE_MONTH} to predict"
    more = "  whole months: `make months`, then TRIPS_DIR=trips make demo" if source.folder == SAMPLE else None
    return "\n".join(filter(None, ["tripcast demo\n", "Data", f"  {source.about}", more, f"  {use}"]))


def models(run: dict) -> str:
    lines = [f"Models (run {run['run']})"]
    for target in run["targets"]:
        name = f"{target['target']:<9} {target['family']:<7} {target['version']}"
        became = "champion" if target["promoted"] else "not promoted"
        lines += [
            f"  {name}  {became}; {target['decision']['reason']}",
            f"  {'':<9} on {target['challenger']['rows']:,} trips of {JUDGE_MONTH}: {figures(target['challenger'])}",
        ]
    lines += [f"  left out: {left['key']}: {left['reason']}" for left in run["left_out"]]
    return "\n".join(lines)


def streamed(seen, sent: list[dict], took: dict[str, float | None], rejects: list[dict]) -> str:
    answers = {json.dumps(answer["prediction"]["ride_id"]): answer for answer in seen.predictions.values()}
    if strangers := answers.keys() - took.keys():
        raise Failure(f"{len(strangers)} predictions are of rides that nobody sent, such as {min(strangers)}")
    repeats = f" ({seen.repeats} repeats dropped by id)" if seen.repeats else ""
    lines = [f"Messages\n  {len(sent):,} sent, {len(answers):,} predicted{repeats}, {len(rejects)} rejected"]
    lines += [f"  rejected     {reject['reason']}: {reject['detail']}" for reject in rejects]
    request = example(sent, answers)
    ride = json.dumps(request["ride_id"])
    lines += [f"  for example  {json.dumps(request)}", f"  is answered  {json.dumps(answers[ride])}"]
    if took[ride] is not None:
        lines.append(f"  it took      {took[ride]:.1f} min")
    lines.append(f"  {against_truth(answers, took)}")
    return "\n".join(lines)


def example(sent: list[dict], answers: dict[str, dict]) -> dict:
    """Returns the first predicted trip with a distance, or the first one if none has a distance."""
    answered = [message for message in sent if json.dumps(message["ride_id"]) in answers]
    return next((message for message in answered if message["ride"].get("trip_distance")), answered[0])


def against_truth(answers: dict[str, dict], took: dict[str, float | None]) -> str:
    low, high = JUDGED_MIN
    judged = [(answer["prediction"], took[ride]) for ride, answer in answers.items()]
    judged = [(said, was) for said, was in judged if was is not None and low <= was <= high]
    if not judged:
        return f"none of them took {low} to {high} min, so there is nothing to compare with"
    errors = [said["ride_duration"] - was for said, was in judged]
    inside = [said["ride_duration_interval"][0] <= was <= said["ride_duration_interval"][1] for said, was in judged]
    measured = {
        "rmse": math.sqrt(sum(error**2 for error in errors) / len(errors)),
        "mae": sum(map(abs, errors)) / len(errors),
        "coverage": sum(inside) / len(inside),
    }
    return f"on the {len(judged):,} that took {low} to {high} min: {figures(measured)}"


def dropped(summary: dict) -> str:
    rejected = summary["rejected"]
    reasons = "".join(f"; {count:,} {reason}" for reason, count in rejected.items())
    flags = ", ".join(f"{count:,} {flag}" for flag, count in summary["flags"].items()) or "none"
    lines = [
        f"File {summary['source']['key']} -> {summary['predictions']}",
        f"  {summary['rows']:,} rows, {summary['predicted']:,} predicted, {sum(rejected.values()):,} rejected{reasons}",
        f"  predicted all the same, with a flag: {flags}",
    ]
    if metrics := summary["metrics"]:
        low, high = JUDGED_MIN
        duration = metrics["duration"]
        lines.append(f"  on the {duration['rows']:,} that took {low} to {high} min: {figures(duration)}")
    return "\n".join(lines)


def figures(metrics: dict) -> str:
    if "rmse" in metrics:
        covered = f"90 % interval covers {metrics['coverage']:.1%}"
        return f"RMSE {metrics['rmse']:.2f} min, MAE {metrics['mae']:.2f} min, {covered}"
    tipped = f"tipped {metrics['base_rate']:.1%}"
    return f"AUC {metrics['auc']:.3f}, log loss {metrics['log_loss']:.3f}, Brier {metrics['brier']:.3f}, {tipped}"


def timings(seconds: dict[str, float], predicted: dict[str, float]) -> str:
    lines = [f"  {took:5.1f} s  {doing}" for doing, took in seconds.items()]
    # Messages and file are predicted at the same time, in the last step.
    lines[-1] += f" (all messages after {predicted['messages']:.1f} s, the file after {predicted['file']:.1f} s)"
    return "\n".join(["Time", *lines, f"  {sum(seconds.values()):5.1f} s  in all"])


def where(port: int, outputs: dict[str, str]) -> str:
    data, model = outputs["DataBucketName"], outputs["ModelBucketName"]
    places = {
        "for a shell": 'eval "$(python3 infra/local/local_aws.py env)"',
        "endpoint": f"{server.endpoint(port)} (AWS_ENDPOINT_URL; region us-east-1, keys test/test)",
        "files": f"s3://{data}/ (history/, incoming/, predictions/, summaries/)",
        "models": f"s3://{model}/ (duration/, tip/, runs/)",
        "trips": outputs["TripsQueueUrl"],
        "predictions": f"{outputs['PredictionsQueueUrl']} (emptied by this demo)",
        "rejected": outputs["RejectsQueueUrl"],
        "dead letters": f"{outputs['DeadLetterQueueUrl']} (empty: nothing failed)",
        "logs": f"{os.path.relpath(functions_log(port))} (as of now), the server's beside it",
        "stop it": make_down(port),
    }
    return "\n".join(["Look around (it is still up)", *(f"  {name:<13}{place}" for name, place in places.items())])


def make_down(port: int) -> str:
    return "make down" if port == local_aws.DEFAULT_PORT else f"LOCAL_AWS_PORT={port} make down"


def functions_log(port: int) -> Path:
    return server.STATE / f"{port}-functions.log"


def server_log(port: int) -> str | None:
    record = server.recorded(port)
    return record["log"] if record else None


def say(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)


def explained(failure: BaseException, port: int) -> str:
    """Returns the message for a failure, with the paths of the logs."""
    logs = [functions_log(port)] if functions_log(port).exists() else []
    logs += [server_log(port)] if server_log(port) else []
    hint = f"\ndemo: see {' and '.join(map(str, logs))}; stop the local AWS with: {make_down(port)}" if logs else ""
    return f"demo: {failure}{hint}"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    steps = Steps()
    try:
        port = local_aws.port_to_start_on()
        environment.ensure()
        environment.reenter()
        with steps.step("finding trips"):
            source = find()
        say(source.about)
    except (Failure, OSError) as failure:
        sys.exit(f"demo: {failure}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")
    try:
        print(demo(port, source, steps))
    except (Failure, OSError) as failure:
        sys.exit(explained(failure, port))
    except KeyboardInterrupt:
        sys.exit(explained(KeyboardInterrupt("interrupted"), port))


if __name__ == "__main__":
    main()
