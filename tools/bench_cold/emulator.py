"""Runs one cold start in AWS's emulator of Lambda (RIE), which starts the function's process at the first event."""

import contextlib
import hashlib
import http.client
import json
import os
import platform
import re
import signal
import socket
import subprocess
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator

from places import HERE, PROJECT, STATE, Failure, run

MACHINES = {"x86_64": "x86_64", "aarch64": "arm64"}
INVOKE = "/2015-03-31/functions/function/invocations"
ANSWER_SECONDS_MAX = 120
LOG = STATE / "emulator.log"
INIT_REPORT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
# The variables that Lambda sets too; nothing of our own environment is passed on: no proxy, no credentials.
LAMBDA = {
    "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_LAMBDA_FUNCTION_NAME": "cold",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024", "AWS_LAMBDA_FUNCTION_TIMEOUT": "300",
}


@dataclass(frozen=True)
class Function:
    """A function to start, to send one event, and to end."""

    name: str
    command: list[str]
    folder: Path
    variables: dict[str, str]
    event: dict
    # Raises a Failure if the response shows that the function did not do its job.
    judge: Callable[[object], None]
    zip_bytes: int
    unpacked_bytes: int
    # Resets the function's data before each start.
    prepare: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True)
class Start:
    """Measurements of one process: milliseconds from its start, CPU time until its response, and peak memory."""

    first_poll_ms: float
    first_answer_ms: float
    cpu_ms: float
    peak_mb: float


def install(python: Path) -> Path:
    """Extracts the emulator from the package that ships it, which is fetched once for each version of the lock file."""
    if platform.machine() not in MACHINES:
        raise Failure(f"the emulator is built for {' and '.join(MACHINES)}, not for {platform.machine()}")
    lock = HERE / "emulator.lock"
    binary = STATE / f"aws-lambda-rie-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if binary.exists():
        return binary
    wheels = STATE / "wheels"
    run("fetching the emulator", [
        str(python), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes",
        "--dest", str(wheels), "-r", str(lock),
    ])
    with zipfile.ZipFile(next(wheels.glob("aws_sam_cli-*.whl"))) as wheel:
        unfinished = binary.with_suffix(".tmp")
        unfinished.write_bytes(wheel.read(f"samcli/local/rapid/aws-lambda-rie-{MACHINES[platform.machine()]}"))
    unfinished.chmod(0o755)
    return unfinished.rename(binary)


@contextlib.contextmanager
def emulating(binary: Path, function: Function) -> Iterator[tuple[int, subprocess.Popen]]:
    """Runs a new emulator, and yields its port and its process."""
    port = free_port()
    command = [str(binary), "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
               "--runtime-api-address", f"127.0.0.1:{free_port()}", *function.command]
    with open(LOG, "wb") as out:
        emulator = subprocess.Popen(command, cwd=function.folder, env={**LAMBDA, **function.variables},
                                    stdout=out, stderr=out, start_new_session=True)
    try:
        wait_until_listening(port, emulator)
        yield port, emulator
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Failure(f"{function.name} gave no answer or ended, see {LOG.relative_to(PROJECT)}: {error}") from error
    finally:
        end(emulator)


def cold_start(binary: Path, function: Function) -> Start:
    """Sends one event to a new process in a new emulator, and measures it."""
    function.prepare()
    with emulating(binary, function) as (port, emulator):
        started = time.perf_counter()
        answer = invoke(port, function.event)
        first_answer_ms = (time.perf_counter() - started) * 1000
        # The emulator starts only one process.
        pid, = children_of(emulator.pid)
        cpu_ms, peak_mb = cpu_seconds(pid) * 1000, memory_peak_mb(pid)
    function.judge(answer)
    polls = INIT_REPORT.findall(LOG.read_text(errors="replace"))
    if len(polls) != 1:
        raise Failure(f"{function.name} was started {len(polls)} times for one event, see {LOG.relative_to(PROJECT)}")
    return Start(float(polls[0]), first_answer_ms, cpu_ms, peak_mb)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_until_listening(port: int, emulator: subprocess.Popen) -> None:
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if emulator.poll() is not None:
                break
            time.sleep(0.01)
    raise Failure("the emulator did not start")


def invoke(port: int, event: dict) -> object:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.request("POST", INVOKE, json.dumps(event).encode())
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in parentheses may contain anything; after it come the state and the parent.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


def cpu_seconds(pid: int) -> float:
    """Reads the CPU clock of another process, which counts nanoseconds; /proc counts hundredths of a second."""
    return time.clock_gettime((~pid << 3) | 2)


def memory_peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def end(emulator: subprocess.Popen) -> None:
    """Ends the emulator, which ends the function's process itself; kills both if that takes too long."""
    emulator.terminate()
    try:
        emulator.wait(timeout=10)
    except subprocess.TimeoutExpired:
        for pid in (*children_of(emulator.pid), emulator.pid):
            os.kill(pid, signal.SIGKILL)
        emulator.wait()
