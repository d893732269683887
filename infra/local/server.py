"""Starts, recognises and stops the server process, with one record per port below .state/."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from environment import HERE, STATE, Failure, exclusive

HOST = "127.0.0.1"
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 10
# On a reset the server gives functions 2 s after SIGTERM.
RESET_SECONDS_MAX = 8
RECORDER_SECONDS_MAX = 5
LOG_TAIL_LINES = 15


def endpoint(port: int) -> str:
    return f"http://{HOST}:{port}"


def start(port: int, python: Path) -> str:
    with exclusive(str(port)):
        if recorded(port) and healthy(port):
            return f"local AWS already up on {endpoint(port)}"
        stop_process(port)
        forget(port)
        refuse_taken_port(port)
        launch(port, python)
    return f"local AWS ready on {endpoint(port)}"


def stop(port: int) -> str:
    with exclusive(str(port)):
        was_running = recorded(port) is not None
        stop_process(port)
        forget(port)
    return f"local AWS on port {port} stopped" if was_running else f"local AWS is not running on port {port}"


def describe(port: int) -> str:
    record = recorded(port)
    if not record:
        return f"local AWS is not running on port {port}"
    state = "up" if healthy(port) else "started but not answering"
    return f"local AWS {state} on {endpoint(port)} (pid {record['pid']}, log {record['log']})"


def running_endpoint(port: int) -> str:
    if not recorded(port) or not healthy(port):
        raise Failure(f"it is not running on port {port}; run `make up deploy` first")
    return endpoint(port)


# --- starting ---


def launch(port: int, python: Path) -> None:
    home = home_of(port)
    (home / "tmp").mkdir(parents=True)
    log = STATE / f"{port}.log"
    calls = os.environ.get("LOCAL_AWS_RECORD")
    functions_see = port + 1 if calls else port
    if calls:
        wait_for_recorder_to_end(functions_see)
    with open(log, "wb") as output:
        # In its own session the server outlives the shell, and its functions can be told from other processes.
        process = subprocess.Popen(
            [str(python), "-m", "ministack"], cwd=home, env=clean_environment(port, home, functions_see),
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )
    record = {"pid": process.pid, "started_at": started_at(process.pid), "port": port, "log": str(log)}
    record_file(port).write_text(json.dumps(record))
    if calls:
        recorder = [sys.executable, str(HERE / "recorder.py"), str(functions_see), str(port), str(process.pid), calls]
        subprocess.Popen(recorder, stdin=subprocess.DEVNULL, start_new_session=True)
    wait_until_healthy(port, process, log)


def clean_environment(port: int, home: Path, functions_see: int) -> dict[str, str]:
    """Returns the server's whole environment; functions inherit it, so it contains nothing of the user's."""
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",
        # For the server, which by default binds every interface and keeps its files in /tmp.
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": HOST,
        "STATE_DIR": str(home / "state"),
        "S3_DATA_DIR": str(home / "s3"),
        "LAMBDA_EXECUTOR": "local",
        # Listeners of these services would bind every interface too, and neither is needed.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # If the server finds a Docker daemon, it removes containers of earlier runs; it never made any here.
        "DOCKER_HOST": f"unix://{home}/no-docker",
        # For the functions, which would call the real AWS without the endpoint.
        "AWS_ENDPOINT_URL": endpoint(functions_see),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does, so that connections of an earlier run that are still closing do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_pair(ports: range) -> int:
    """Returns the first of every second port in `ports` that is free together with the port after it."""
    for port in ports[::2]:
        if is_free(port) and is_free(port + 1):
            return port
    raise Failure(f"no two free ports in a row from {ports.start} to {ports.stop}; set LOCAL_AWS_PORT to a free one")


def holder(port: int) -> str:
    """Describes the program on a port; a local AWS is recognised by its working directory."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            folder = (process / "cwd").readlink()
        except OSError:
            continue
        if folder.parts[-4:] == (*HERE.parts[-2:], STATE.name, str(port)):
            return f"the local AWS of {folder.parents[3]} (make -C {folder.parents[3]} down)"
    return "another program"


def refuse_taken_port(port: int) -> None:
    if not is_free(port):
        raise Failure(f"port {port} is taken by {holder(port)}; set LOCAL_AWS_PORT to a free one")


def wait_for_recorder_to_end(port: int) -> None:
    """Waits until the recorder of a server that was just stopped has ended; it checks for the server once a second."""
    deadline = time.monotonic() + RECORDER_SECONDS_MAX
    while True:
        try:
            return refuse_taken_port(port)
        except Failure:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def wait_until_healthy(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not healthy(port):
        exited = process.poll() is not None
        if exited or time.monotonic() > deadline:
            stop_process(port)
            forget(port)
            happened = "ended at once" if exited else f"did not answer within {START_SECONDS_MAX} s"
            raise Failure(f"the server {happened}; the end of {log}:\n{tail(log)}")
        time.sleep(0.1)
    # The server that responds may belong to another checkout that took the port first; then ours ends within moments.
    time.sleep(0.2)
    if process.poll() is not None:
        forget(port)
        raise Failure(f"port {port} was taken by {holder(port)} at the same moment; run this again")


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint(port)}/_ministack/health", timeout=2) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


# --- recognising ---


def record_file(port: int) -> Path:
    return STATE / f"{port}.json"


def home_of(port: int) -> Path:
    return STATE / str(port)


def forget(port: int) -> None:
    """Deletes everything that was kept of a server except its log, which says how it ended."""
    record_file(port).unlink(missing_ok=True)
    shutil.rmtree(home_of(port), ignore_errors=True)


def recorded(port: int) -> dict | None:
    """Returns the record of a server if it still runs. The pid alone does not prove that, because pids are reused."""
    try:
        record = json.loads(record_file(port).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record if record["started_at"] and started_at(record["pid"]) == record["started_at"] else None


def started_at(pid: int) -> str | None:
    """Returns when the process started, in the format of the system; None once it has ended.

    The command line would identify a process better, but it is empty for a moment after the start.
    """
    try:
        # The name in the second field may contain spaces; the third field follows its closing parenthesis.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else started_at_by_ps(pid)
    state, started = fields[0], fields[19]
    return None if state == "Z" else started


def started_at_by_ps(pid: int) -> str | None:
    """Returns what `started_at` does on systems without /proc (macOS)."""
    done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, started = done.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


# --- stopping ---


def stop_process(port: int) -> None:
    record = recorded(port)
    if not record:
        return
    pid = record["pid"]
    release_functions(port)
    signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while recorded(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    # The group is the server's session; it now contains only functions that ignored SIGTERM, or the server itself.
    signal_group(pid, signal.SIGKILL)
    while recorded(port):
        time.sleep(0.1)


def release_functions(port: int) -> None:
    """Resets the server, which sends SIGTERM to its functions and gives them time; they would outlive it otherwise."""
    request = urllib.request.Request(f"{endpoint(port)}/_ministack/reset", method="POST")
    try:
        urllib.request.urlopen(request, timeout=RESET_SECONDS_MAX).close()
    except (OSError, ValueError):
        pass  # The server hangs or has ended; the signals that follow do not need it.


def signal_group(leader: int, which: signal.Signals) -> None:
    try:
        os.killpg(leader, which)
    except ProcessLookupError:
        pass
    except PermissionError:
        pass  # macOS raises this for a group in which only ended processes are left.
