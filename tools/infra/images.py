"""Builds the images of infra/container/Dockerfile and tries each of them: every function's under the runtime emulator of AWS's base image.

    python3 tools/infra/images.py          (by `make images`; it builds what goes into them)

It takes a container engine, Docker or podman; without one nothing is run. Stores are a folder of this machine, with the sample months in
it, and nothing is sent: queues lead to a port on which nothing listens.
"""

import contextlib
import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from not_run import not_run  # noqa: E402
from python_environment import FUNCTIONS, PROJECT, Failure  # noqa: E402
from sam_local import engine_client, expect, output_of  # noqa: E402

DOCKERFILE = PROJECT / "infra" / "container" / "Dockerfile"
STORE = PROJECT / "target" / "images" / "store"
MONTHS = PROJECT / "tests" / "fixtures" / "trips"
EVENTS = PROJECT / "infra" / "events"
ARCHITECTURE = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
PLATFORM = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}[ARCHITECTURE]
INVOKE = "/2015-03-31/functions/function/invocations"
VARIABLES = {
    "DATA_STORE": "/store/data", "MODEL_STORE": "/store/models", "PREDICTIONS_QUEUE_URL": "http://127.0.0.1:9/0/predictions",
    "DLQ_URL": "http://127.0.0.1:9/0/rejects", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
    # The timeout of the retrainer: of a shorter one it reserves everything for judging and promoting.
    "AWS_LAMBDA_FUNCTION_TIMEOUT": "900",
}
START_SECONDS_MAX = 20
ANSWER_SECONDS_MAX = 300


def main() -> int:
    client = engine_client()
    if client is None:
        return 0 if not_run("images of the functions", "no container engine answers here (docker info; as root also podman info)") else 1
    try:
        if subprocess.run(["make", "local", "build", f"ARCHITECTURES={ARCHITECTURE}"], cwd=PROJECT).returncode != 0:
            raise Failure("there is nothing to put into images (above)")
        fill_store()
        # The retrainer first: the others predict by its champions.
        for function in sorted(FUNCTIONS, key=lambda name: name != "retrainer"):
            print(f"images: {try_function(client, function)}", flush=True)
        print(f"images: {try_task(client)}", flush=True)
        print(f"images: {try_tripcast(client)}", flush=True)
    except Failure as failure:
        print(f"images: {failure}", file=sys.stderr)
        return 1
    print("images: every image did its work")
    return 0


def fill_store() -> None:
    shutil.rmtree(STORE, ignore_errors=True)
    for month, folder in (("2021-01", "history"), ("2021-02", "history"), ("2021-03", "incoming")):
        to = STORE / "data" / folder
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(MONTHS / f"green_tripdata_{month}.parquet", to)
    (STORE / "models").mkdir()


def try_function(client: str, function: str) -> str:
    image = build(client, "function", f"tripcast-{function}", FUNCTION=function)
    sample = min(EVENTS.glob(f"{function}-*.json"), default=None)
    if sample is None:
        raise Failure(f"infra/events has no sample for {function}")
    with emulated(client, image) as address:
        answer = invoke(address, json.loads(sample.read_text()))
        answered = f"{image} answered {sample.name} with {short(answer)}"
        expect(not is_failure(answer), answered)
    return answered


def is_failure(answer: object) -> bool:
    return isinstance(answer, dict) and ("errorType" in answer or answer.get("statusCode", 200) != 200)


def try_task(client: str) -> str:
    image = build(client, "retrainer-task", "tripcast-retrainer-task")
    logged = output_of(client, "run", "--rm", *restricted(), image, (EVENTS / "retrainer-now.json").read_text())
    run = json.loads(logged.strip().splitlines()[-1])
    targets = [f"{target['target']} {target['version']}" for target in run["targets"]]
    expect(len(targets) == 2, f"{image} answered {short(run)}")
    return f"{image} trained {', '.join(targets)}"


def try_tripcast(client: str) -> str:
    image = build(client, "tripcast", "tripcast")
    return f"{image} is {output_of(client, 'run', '--rm', *restricted(), image, '--version').strip()}"


# --- the engine ---


def build(client: str, target: str, tag: str, **arguments: str) -> str:
    """Builds a target of the Dockerfile for this machine's processor, and returns its tag."""
    given = [part for name, value in {"ARCHITECTURE": ARCHITECTURE, **arguments}.items() for part in ("--build-arg", f"{name}={value}")]
    # Docker finds the list of what reaches the engine by its name; not every podman does.
    ignore = ["--ignorefile", f"{DOCKERFILE}.dockerignore"] if client == "podman" else []
    output_of(client, "build", "--quiet", "--file", DOCKERFILE, *ignore, "--target", target, "--platform", PLATFORM, *given, "--tag", tag, PROJECT)
    return tag


def restricted() -> list[str]:
    """Returns options for a container that may write to the stores and to /tmp only, as this user."""
    variables = [part for name, value in VARIABLES.items() for part in ("--env", f"{name}={value}")]
    return [
        "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{STORE}:/store:z", *variables,
    ]


@contextlib.contextmanager
def emulated(client: str, image: str) -> Iterator[str]:
    """Yields the address of the emulator in a container of the image."""
    # By this name it is removed even if the engine creates it and then cannot start it.
    container = f"{image}-{os.getpid()}"
    try:
        output_of(client, "run", "--detach", "--name", container, "--publish", "127.0.0.1::8080", *restricted(), image)
        yield output_of(client, "port", container, "8080/tcp").split()[0]
    except Failure as failure:
        logs = subprocess.run([client, "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        raise Failure(f"{failure}; it logged {logs.strip()[-800:]}") from None
    finally:
        subprocess.run([client, "rm", "--force", container], capture_output=True)


def invoke(address: str, event: dict) -> object:
    """Returns the answer to an event. The engine takes connections before the emulator does."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS_MAX)
        try:
            connection.request("POST", INVOKE, json.dumps(event))
            return json.loads(connection.getresponse().read())
        except ConnectionError:
            if time.monotonic() > deadline:
                raise Failure(f"no emulator listens after {START_SECONDS_MAX} s") from None
            time.sleep(0.1)
        except (TimeoutError, ValueError) as error:
            raise Failure(f"no answer: {error}") from None
        finally:
            connection.close()


def short(answer: object) -> str:
    text = json.dumps(answer)
    return text if len(text) <= 200 else f"{text[:200]}..."


if __name__ == "__main__":
    sys.exit(main())
