"""Measures servers over HTTP: `tripcast serve` beside FastAPI with LightGBM and MLflow's own server, each on one core."""

import contextlib
import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import champions
import data
import report
import run
from environment import HERE, PYTHON, STATE
from failure import Failure
from report import Section, Table
from run import Outcome

CONNECTIONS = 16
OURS, FASTAPI, MLFLOW = "tripcast serve (ours)", "FastAPI and LightGBM", "MLflow's server and LightGBM"
OURS_INVOKED = f"{OURS}, /invocations"
# Trips of one array.
MANY = 1_000
ARRAYS = 20
# Of ours, one by one.
REQUESTS_MIN = 1_000_000
WARM_SECONDS, SECONDS = 3, 20
START_SECONDS_MAX = 60
HALF_SECONDS = 10
FIELDS = ("PULocationID", "DOLocationID", "trip_distance", "VendorID", "RatecodeID", "passenger_count", "trip_type", "pickup_datetime")
VERSIONS = ("fastapi", "uvicorn", "uvloop", "mlflow-skinny")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    name: str
    command: Callable[[int], list[str | Path]]
    path: str
    # Makes a request's body of trips, or of one.
    body: Callable[[list[dict] | dict], object]
    environment: dict[str, str]


def as_they_are(trips: list[dict] | dict) -> object:
    return trips


def as_data_frame(trips: list[dict] | dict) -> object:
    rows = trips if isinstance(trips, list) else [trips]
    return {"dataframe_split": {"columns": list(FIELDS), "data": [[row.get(name) for name in FIELDS] for row in rows]}}


def servers(plan, store: Path, pair: Path) -> list[Server]:
    packed = champions.FOLDER / f"mlflow-{pair.name}"
    if not packed.exists():
        run.say("saving LightGBM's champions as a model of MLflow's")
        subprocess.run([PYTHON, HERE / "web_peer.py", "save", "--folder", pair, "--to", packed], check=True, capture_output=True)

    def ours(port: int) -> list[str | Path]:
        return [plan.tripcast, "serve", "--store", store, "--listen", f"127.0.0.1:{port}"]

    def fastapi(port: int) -> list[str | Path]:
        return [PYTHON, "-m", "uvicorn", "web_peer:app", "--app-dir", HERE, "--port", str(port), "--no-access-log", "--log-level", "warning"]

    def mlflow(port: int) -> list[str | Path]:
        return [PYTHON, "-m", "mlflow", "models", "serve", "-m", packed, "--env-manager", "local", "--port", str(port), "--workers", "1"]

    return [
        Server(OURS, ours, "/predict", as_they_are, {}),
        Server(OURS_INVOKED, ours, "/invocations", as_data_frame, {}),
        Server(FASTAPI, fastapi, "/predict", as_they_are, {"WEB_PEER_MODELS": str(pair)}),
        # It starts uvicorn by its name. Its access log would be a line of text for each request.
        Server(MLFLOW, mlflow, "/invocations", as_data_frame, {
            "PATH": f"{PYTHON.parent}:{os.defpath}", "UVICORN_LOG_LEVEL": "warning", "UVICORN_ACCESS_LOG": "0",
        }),
    ]


def rides(plan) -> list[dict]:
    """Returns trips of the month after those learned from, with the fields that clients send."""
    command = [plan.tripcast, "data", "sample", "--input", data.file_of("2024-03"), "--rows", str(MANY), "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"tripcast data sample: {run.reason(done.stderr)}")
    sampled = [json.loads(line)["ride"] for line in done.stdout.splitlines()]
    return [{name: ride[name] for name in FIELDS if ride.get(name) is not None} for ride in sampled]


# --- one server ---


@contextlib.contextmanager
def running(server: Server) -> Iterator[tuple[int, int]]:
    """Yields the port and the process id of a server on the last core; its processes end with it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = STATE / "web.log"
    with open(log, "w") as to:
        process = subprocess.Popen(
            [str(word) for word in server.command(port)], stdout=to, stderr=to, start_new_session=True,
            env={**os.environ, **run.ONE_THREAD, **server.environment}, preexec_fn=lambda: run.pin(1),
        )
    try:
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            if process.poll() is not None or time.monotonic() > until:
                raise Failure(f"it did not start: {run.reason(log.read_text())}")
            time.sleep(0.1)
        yield port, process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait()


def family(pid: int) -> list[int]:
    """Returns a process and all below it."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(one for file in children for child in file.read_text().split() for one in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    def ticks(one: int) -> int:
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    return sum(map(ticks, family(pid))) / TICKS


def peak_mb(pid: int) -> float:
    def kib(one: int) -> int:
        status = Path(f"/proc/{one}/status").read_text().splitlines()
        return next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)

    return sum(map(kib, family(pid))) / 1024


def load(server: Server, port: int, bodies: Path, seconds: float, pause_ms: float = 0) -> dict:
    """Returns what wrk counted on the other cores."""
    command = [
        "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--timeout", "30s", "-s", HERE / "wrk.lua",
        f"http://127.0.0.1:{port}{server.path}", "--", bodies, f"{pause_ms:.3f}",
    ]
    others = run.cores()[:-1]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, others))
    if done.returncode != 0:
        raise Failure(f"wrk: {run.reason(done.stderr)}")
    return json.loads(run.last_line(done.stdout))


def measured(server: Server, bodies: Path, trips: int, requests: int = 0) -> dict:
    """Measures a server at full load, for at least so many requests, and at half of it."""
    with running(server) as (port, pid):
        warm = load(server, port, bodies, WARM_SECONDS)
        rate = warm["requests"] / warm["seconds"]
        before = cpu_seconds(pid)
        full = load(server, port, bodies, max(SECONDS, requests / rate * 1.1))
        cpu = cpu_seconds(pid) - before
        rate = full["requests"] / full["seconds"]
        # Connections that ask half as often as they could hardly wait for each other: an answer takes little more than its own time.
        pause = 2 * (CONNECTIONS - 1) / rate * 1000
        half = load(server, port, bodies, HALF_SECONDS, pause)
        return {
            "us": cpu / full["requests"] / trips * 1e6, "per_second": rate * trips, "requests": full["requests"],
            "errors": full["errors"] + half["errors"], "p99_ms": half["p99_ms"], "half": half["requests"] / half["seconds"] / rate,
            "peak_mb": peak_mb(pid),
        }


# --- the section ---


def web(plan) -> Section:
    caption = "One trip a request"
    if shutil.which("wrk") is None or len(run.cores()) < 2:
        return Section("Serving", [Table(caption, notes=["Skipped: it takes wrk (Debian: `apt install wrk`) and two cores."])], [])
    try:
        ours, trips = champions.promoted(plan), rides(plan)
        pair = champions.of_lightgbm(plan)
    except Failure as failure:
        return Section("Serving", [Table(caption, notes=[f"Skipped: {failure}."])], [])
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    notes = [
        f"A server on one core, {CONNECTIONS} connections of wrk on the other that are kept alive. All state the duration and the probability "
        f"of a tip; ours also an interval. Ours are the champions of a retraining on {plan.months[0]} to {plan.months[-1]} ({ours} at most); "
        "LightGBM's have as many trees and leaves on the ten cheapest features, in FastAPI on uvicorn and uvloop, with one booster call "
        f"for each model and request, and in `mlflow models serve`. {versions}. CPU time of all processes of a server, in the kernel too; the "
        "99th percentile at half of the highest load; peak memory. Bodies are 1,000 trips in turn.",
    ]
    rivals = servers(plan, ours.store, pair)
    arrays = [trips[at:] + trips[:at] for at in range(0, MANY, MANY // ARRAYS)]
    return Section("Serving", [
        table(caption, rivals, trips, 1, plan), table(f"Arrays of {MANY:,} trips", rivals, arrays, MANY, plan),
    ], notes)


def table(caption: str, rivals: list[Server], asked: list, trips: int, plan) -> Table:
    outcomes = []
    for server in rivals:
        bodies = STATE / "bodies.jsonl"
        bodies.write_text("".join(json.dumps(server.body(one)) + "\n" for one in asked))
        outcome = Outcome(server.name)
        try:
            many = REQUESTS_MIN if server.name == OURS and trips == 1 and not plan.quick else 0
            outcome.runs.append(measured(server, bodies, trips, many))
            run.say(f"{caption}: {server.name}: {outcome.runs[-1]}")
        except Failure as failure:
            outcome.failure = str(failure)
        outcomes.append(outcome)
    header = ["", "CPU µs a prediction", "to ours", "predictions a second", "requests", "errors", "p99 ms (at part of the load)", "peak MB"]
    return Table(caption, header, [
        report.failed(outcome) if outcome.failure else [
            outcome.name, f"{outcome.median('us'):,.1f}", report.times(outcome, outcomes[0], "us"), f"{outcome.median('per_second'):,.0f}",
            f"{outcome.median('requests'):,.0f}", f"{outcome.median('errors'):,.0f}", f"{outcome.median('p99_ms'):,.1f} ({outcome.median('half'):.0%})",
            f"{outcome.median('peak_mb'):,.0f}",
        ] for outcome in outcomes
    ])
