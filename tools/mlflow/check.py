"""Checks on a real MLflow server what the retrainer logs: it reads runs with MLflow's client and loads models with
MLflow.

    python3 tools/mlflow/check.py            (by `make test-mlflow`, which builds `tripcast` first)

It retrains on three months twice, and compares everything with the output of `tripcast`.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import trips  # noqa: E402
from python_environment import PROJECT, Environment, Failure  # noqa: E402

STATE = PROJECT / "target" / "mlflow"
TRIPCAST = PROJECT / "target" / "release" / "tripcast"
OURS = Environment(STATE, HERE / "requirements.lock", "MLflow's server and client (about 430 MB on disk)")
START_SECONDS_MAX = 120
TRIPS_COMPARED = 2000
MINUTES_OFF_MAX = 1e-3
PROBABILITY_OFF_MAX = 1e-5


def main() -> int:
    try:
        OURS.ensure()
        OURS.reenter()
        with OURS.exclusive("run"):
            work = STATE / "work"
            subprocess.run(["rm", "-rf", str(work)], check=True)
            work.mkdir(parents=True)
            trips.link(work / "data" / "history")
            with Server(work) as uri:
                first = retrain(work, uri, "2021-04-15", "first")
                logged(uri, first)
                loaded(work, uri, first)
                again(work, uri, first)
            down(work)
    except Failure as failure:
        print(f"mlflow: {failure}", file=sys.stderr)
        return 1
    print("mlflow: everything that was logged was read back, and the champions answer alike")
    return 0


def retrain(work: Path, uri: str, now: str, name: str) -> dict:
    said = tripcast("--json", "retrain", "--data", str(work / "data"), "--models", str(work / "models"), "--now", now,
                    "--name", name, "--trials", "1", environment={"MLFLOW_TRACKING_URI": uri})
    return json.loads(said)


def logged(uri: str, run: dict) -> None:
    """Compares what MLflow's client reads with the record of the run."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("tripcast")
    found = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
    expect(len(found), len(run["targets"]), "runs")
    for target in run["targets"]:
        name, one = target["target"], found[f"{run['run']} {target['target']}"]
        expect(one.info.status, "FINISHED", f"{name}: status")
        expect(one.data.tags["version"], target["version"], f"{name}: version")
        expect(one.data.tags["decision"], target["decision"]["reason"], f"{name}: decision")
        expect(one.data.params["seed"], str(run["seed"]), f"{name}: seed")
        expect(one.data.params["boosted.leaves"], str(target["params"]["boosted"]["leaves"]), f"{name}: leaves")
        figure = "rmse" if name == "duration" else "log_loss"
        expect(one.data.metrics[f"challenger.{figure}"], target["challenger"][figure], f"{name}: {figure}")
        history = client.get_metric_history(one.info.run_id, "validation.loss")
        losses = [point.value for point in sorted(history, key=lambda point: point.step)]
        expect(losses, target["learning"]["losses"], f"{name}: losses by round")
        digests = sorted(given.dataset.digest for given in one.inputs.dataset_inputs)
        expect(digests, sorted(file["sha256"][:36] for file in run["data"]), f"{name}: datasets")
        files = {file.path for file in client.list_artifacts(one.info.run_id)}
        expect({"run.json", "model"} <= files, True, f"{name}: files {files}")
        champion = client.get_model_version_by_alias(name, "champion")
        expect(champion.run_id, one.info.run_id, f"{name}: the champion's run")
        expect(champion.tags["version"], target["version"], f"{name}: the champion's version")


def loaded(work: Path, uri: str, run: dict) -> None:
    """Compares predictions of the champions, loaded by MLflow alone, with those of `tripcast score`."""
    import mlflow
    import pandas

    mlflow.set_tracking_uri(uri)
    rides = [ride(number) for number in range(TRIPS_COMPARED)]
    versions = {target["target"]: work / "models" / target["target"] / "versions" / target["version"] / "model.bin"
                for target in run["targets"]}
    said = tripcast("score", "--model", str(versions["duration"]), "--tip-model", str(versions["tip"]),
                    stdin="".join(json.dumps({"ride_id": at, "ride": one}) + "\n" for at, one in enumerate(rides)))
    expected = [json.loads(line)["prediction"] for line in said.splitlines()]
    frame = pandas.DataFrame(rides)
    duration = mlflow.pyfunc.load_model("models:/duration@champion").predict(frame)
    tip = mlflow.pyfunc.load_model("models:/tip@champion").predict(frame)
    pairs = [("duration", duration["duration"], [one["ride_duration"] for one in expected], MINUTES_OFF_MAX),
             ("lower", duration["lower"], [one["ride_duration_interval"][0] for one in expected], MINUTES_OFF_MAX),
             ("upper", duration["upper"], [one["ride_duration_interval"][1] for one in expected], MINUTES_OFF_MAX),
             ("probability", tip["probability"], [one["tip_probability"] for one in expected], PROBABILITY_OFF_MAX)]
    for name, found, wanted, most in pairs:
        off = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
        print(f"mlflow: {name} of {len(wanted)} trips is off by at most {off:.1e}")
        expect(off <= most, True, f"{name} is off by {off}")


def ride(number: int) -> dict:
    """Generates a ride, which may have unknown zones, impossible distances and missing values."""
    chance = random.Random(number)
    zone = lambda: chance.choice([chance.randint(1, 265), chance.randint(1, 265), 132, 74, 264, 265, 300])  # noqa: E731
    # Distances that f32 represents exactly, so that a DataFrame of f32 and a message hold the same values.
    miles = chance.choice([None, 0.0, -1.0, 128.0, chance.randint(1, 2000) / 128, chance.randint(1, 400) / 128])
    when = f"2021-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}T{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:00"
    return {"PULocationID": zone(), "DOLocationID": zone(), "trip_distance": miles,
            "pickup_datetime": chance.choice([when, when, when, None]), "VendorID": chance.choice([1, 2, None]),
            "passenger_count": chance.choice([0, 1, 5, None])}


def again(work: Path, uri: str, first: dict) -> None:
    """Checks that a retraining on the same months gives the same models, so that no version is added."""
    import mlflow

    before = len(mlflow.MlflowClient(uri).search_model_versions("name = 'duration'"))
    retrain(work, uri, "2021-04-15", "first")
    after = mlflow.MlflowClient(uri).search_model_versions("name = 'duration'")
    expect(len(after), before, "model versions after the same run again")


def down(work: Path) -> None:
    """Checks that a server that is down fails no retraining."""
    run = retrain(work, "http://127.0.0.1:1", "2021-04-15", "down")
    expect(run["failed"], [], "failures without a tracking server")


class Server:
    """An MLflow server on a free loopback port, with its files below the work folder."""

    def __init__(self, work: Path):
        self.home = work / "server"
        self.home.mkdir()

    def __enter__(self) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        log = open(self.home / "server.log", "wb")
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        # The environment's folder comes first in PATH, because the server starts other programs by name.
        path = f"{OURS.venv / 'bin'}:{os.environ['PATH']}"
        self.process = subprocess.Popen(
            [str(OURS.venv / "bin" / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{self.home / 'mlflow.db'}",
             "--artifacts-destination", str(self.home / "artifacts"), "--serve-artifacts"],
            cwd=self.home, env={**os.environ, **quiet, "PATH": path}, stdout=log, stderr=log, start_new_session=True)
        uri = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.answers(uri):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise Failure(f"the server did not start, see {self.home / 'server.log'}")
            time.sleep(0.2)
        return uri

    @staticmethod
    def answers(uri: str) -> bool:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2) as answer:
                return answer.read() == b"OK"
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(timeout=20)


def tripcast(*arguments: str, stdin: str = "", environment: dict | None = None) -> str:
    done = subprocess.run([str(TRIPCAST), *arguments], input=stdin, capture_output=True, text=True,
                          env={**os.environ, **(environment or {})})
    if done.returncode != 0:
        raise Failure(f"tripcast {' '.join(arguments[:2])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise Failure(f"{what}: found {str(found)[:300]}, expected {str(wanted)[:300]}")


if __name__ == "__main__":
    sys.exit(main())
