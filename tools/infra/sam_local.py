"""Runs `sam local invoke` for every function on the local AWS, and checks what came of it there.

    python3 tools/infra/sam_local.py          (by `make sam-local`; it builds what it runs)

It takes a container engine, Docker or podman; without one it says NOT RUN. The demo makes the stack and its models, on a local AWS of
this check's own. A base image that is present is not fetched again.
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCAL = HERE.parents[1] / "infra" / "local"
sys.path[:0] = [str(HERE), str(HERE.parent)]

from lint import NO_ACCOUNT, TOOLS  # noqa: E402
from product import expect  # noqa: E402
from python_environment import PROJECT, Failure  # noqa: E402

STATE = PROJECT / "target" / "sam"
BUILT = STATE / "build" / "template.yaml"
MONTH = PROJECT / "tests" / "fixtures" / "trips" / "green_tripdata_2021-03.parquet"
# Variables by which clients find the container engine.
ENGINES = ("DOCKER_HOST", "HOME", "XDG_RUNTIME_DIR")
INVOKE_SECONDS_MAX = 600
ENGINE_SECONDS_MAX = 10
# The deployed batch predictor works on the file that is put for the one in the container.
SUMMARY_SECONDS_MAX = 60


def main() -> int:
    client = engine_client()
    if client is None:
        print("sam-local: NOT RUN, no container engine answers here (docker info; as root also podman info)")
        return 0
    try:
        TOOLS.ensure()
        TOOLS.reenter()
        with engine(client) as found:
            if subprocess.run(["make", "local", "sam-build"], cwd=PROJECT).returncode != 0:
                raise Failure("there are no packages to run (above)")
            with deployed() as (application, variables):
                for check in (scorer, scorer_stream, batch_predictor, retrainer, monitor, web):
                    print(f"sam-local: {check(application, lambda *of: invoke(found, variables, *of))}", flush=True)
    except Failure as failure:
        print(f"sam-local: {failure}", file=sys.stderr)
        return 1
    print("sam-local: every function did its work in Lambda's image")
    return 0


# --- what runs them ---


@contextlib.contextmanager
def engine(client: str) -> Iterator[dict[str, str]]:
    """Yields the variables by which SAM finds the engine; podman's service runs meanwhile."""
    of_mine = {name: os.environ[name] for name in ENGINES if name in os.environ}
    if client == "docker":
        yield of_mine
        return
    STATE.mkdir(parents=True, exist_ok=True)
    socket = STATE / "podman.sock"
    socket.unlink(missing_ok=True)
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    service = subprocess.Popen(["podman", "system", "service", "--time=0", f"unix://{socket}"], **silent)
    try:
        wait(socket.exists, ENGINE_SECONDS_MAX, "podman's service")
        yield {**of_mine, "DOCKER_HOST": f"unix://{socket}"}
    finally:
        service.terminate()
        service.wait()


def engine_client() -> str | None:
    """Returns the command of the container engine that runs here, if there is one."""
    return next((client for client in ("docker", "podman") if answers(client)), None)


def answers(client: str) -> bool:
    """Returns whether an engine runs, and is one whose containers reach this machine; an installed client is not enough."""
    if client == "podman" and os.geteuid() != 0:
        return False
    return bool(shutil.which(client)) and subprocess.run([client, "info"], capture_output=True).returncode == 0


@contextlib.contextmanager
def deployed() -> Iterator[tuple["Application", Path]]:
    """Yields a stack with champions, and the file of its functions' variables."""
    sys.path.append(str(LOCAL))
    from application import Application

    port = output_of(sys.executable, LOCAL / "local_aws.py", "free-port").strip()
    os.environ["LOCAL_AWS_PORT"] = port
    try:
        output_of(sys.executable, LOCAL / "demo.py")
        variables = STATE / "variables.json"
        output_of(sys.executable, LOCAL / "local_aws.py", "sam-local", "--to", variables)
        outputs = json.loads(output_of(sys.executable, LOCAL / "local_aws.py", "outputs"))
        yield Application(f"http://127.0.0.1:{port}", outputs), variables
    finally:
        output_of(sys.executable, LOCAL / "local_aws.py", "down")


def output_of(*command) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{Path(command[1]).name}: {done.stderr.strip()[-400:]}")
    return done.stdout


def invoke(engine: dict[str, str], variables: Path, function: str, event: dict) -> dict:
    """Returns the function's answer in a container."""
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
    file = STATE / "event.json"
    file.write_text(json.dumps(event))
    command = [
        TOOLS.venv / "bin" / "sam", "local", "invoke", function, "--template", BUILT, "--config-file", PROJECT / "samconfig.toml",
        "--parameter-overrides", f"Architecture={machine}", "--event", file, "--env-vars", variables,
    ]
    environment = {**NO_ACCOUNT, "PATH": os.defpath, "SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(STATE / "cli"), **engine}
    try:
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=INVOKE_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise Failure(f"{function} did not answer within {INVOKE_SECONDS_MAX} s") from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise Failure(f"{function} did not answer: {done.stderr.strip()[-800:]}") from None
    if done.returncode != 0 or "errorType" in answer:
        raise Failure(f"{function} failed: {done.stdout.strip()[-400:]} {done.stderr.strip()[-400:]}")
    return answer


def wait(until: Callable[[], object], seconds: float, what: str) -> object:
    deadline = time.monotonic() + seconds
    while not (found := until()):
        if time.monotonic() > deadline:
            raise Failure(f"{what} was not there after {seconds} s")
        time.sleep(0.1)
    return found


# --- the functions ---


def scorer(application, invoke) -> str:
    list(application.take_predictions())
    event = sample("scorer-sqs")
    answer = invoke("ScorerFunction", event)
    expect(answer == {"batchItemFailures": []}, f"the scorer answered {answer}")
    sent = [json.loads(record["body"])["ride_id"] for record in event["Records"]]
    return f"ScorerFunction put {predicted(application.take_predictions(), sent)} into the queue"


def scorer_stream(application, invoke) -> str:
    import base64

    import stack

    kinesis = stack.client(application.endpoint, "kinesis")
    name = application.outputs["PredictionsStreamName"]
    shards = [shard["ShardId"] for shard in kinesis.list_shards(StreamName=name)["Shards"]]
    at = [kinesis.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType="LATEST")["ShardIterator"] for shard in shards]
    event = sample("scorer-kinesis")
    answer = invoke("ScorerFunction", event)
    expect(answer == {"batchItemFailures": []}, f"the scorer answered {answer} to a stream's records")
    # One record of the sample is not JSON.
    data = [base64.b64decode(record["kinesis"]["data"]) for record in event["Records"]]
    sent = [json.loads(trip)["ride_id"] for trip in data if trip.startswith(b"{")]
    records = [record for iterator in at for record in kinesis.get_records(ShardIterator=iterator)["Records"]]
    return f"ScorerFunction put {predicted((json.loads(record['Data']) for record in records), sent)} into the stream"


def predicted(predictions, sent: list) -> str:
    predictions = list(predictions)
    found = sorted((prediction["prediction"]["ride_id"] for prediction in predictions), key=str)
    expect(found == sorted(sent, key=str), f"predicted are {found}, expected {sent}")
    durations = [prediction["prediction"]["ride_duration"] for prediction in predictions]
    expect(all(1 < minutes < 120 for minutes in durations), f"predicted are {durations} minutes")
    return f"{len(sent)} predictions of {predictions[0]['version']}"


def batch_predictor(application, invoke) -> str:
    key = application.put(MONTH, "incoming/container")
    data = application.outputs["DataBucketName"]

    def made() -> list[str]:
        return [key for folder in ("predictions/", "summaries/") for key in application.keys(folder) if "/container/" in key]

    wait(lambda: len(made()) == 2, SUMMARY_SECONDS_MAX, "what the deployed function makes of the file")
    for old in made():
        application.s3.delete_object(Bucket=data, Key=old)
    event = sample("batch-predictor-s3")
    for record in event["Records"]:
        record["s3"]["bucket"]["name"] = data
        # The sample's version and tag are of no object here.
        record["s3"]["object"] = {"key": key}
    answer = invoke("BatchPredictorFunction", event)
    expect(len(made()) == 2, f"the batch predictor made {made()} and answered {answer}")
    summary = application.read(next(key for key in made() if key.startswith("summaries/")))
    expect(summary["predicted"] == summary["rows"] > 0, f"the batch predictor predicted {summary['predicted']} of {summary['rows']} rows")
    return f"BatchPredictorFunction predicted {summary['predicted']:,} rows"


def retrainer(application, invoke) -> str:
    run = invoke("RetrainerFunction", sample("retrainer-now"))
    targets = [f"{target['target']} {target['version']}" for target in run["targets"]]
    expect(len(targets) == 2, f"the retrainer answered {json.dumps(run)[:400]}")
    return f"RetrainerFunction trained {', '.join(targets)}"


def monitor(application, invoke) -> str:
    answer = invoke("MonitorFunction", sample("monitor-now"))
    reports = application.keys("reports/")
    expect(bool(reports), f"the monitor wrote no report and answered {json.dumps(answer)[:400]}")
    return f"MonitorFunction wrote {len(reports)} pages and records"


def web(application, invoke) -> str:
    answer = invoke("WebFunction", sample("web-predict"))
    body = json.loads(answer["body"])
    expect(answer["statusCode"] == 200 and body["duration"] > 1, f"the web function answered {answer}")
    return f"WebFunction answered {body['duration']:.1f} minutes by {body['model_version']}"


def sample(name: str) -> dict:
    return json.loads((PROJECT / "infra" / "events" / f"{name}.json").read_text())


if __name__ == "__main__":
    sys.exit(main())
