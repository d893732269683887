"""Lets functions that `sam local invoke` runs in containers use the local AWS.

Two things are theirs alone: an address at which a container reaches the local AWS, and a file with the variables of every function of
the deployed stack, in which the names of queues and buckets are. samconfig.toml names that file.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import server
from environment import HERE, STATE, Failure

# By what samconfig.toml says.
VARIABLES = STATE / "sam-local.json"
ENGINE_SECONDS_MAX = 10
# On macOS and Windows, and in Docker Desktop's machine on Linux, this name leads to the loopback interface.
DESKTOP_HOST = "host.docker.internal"


def expose(port: int, functions: dict[str, dict[str, str]], to: Path = VARIABLES) -> str | None:
    """Writes the file for the functions of a stack (logical id -> variables).

    It returns None where no container engine answers; then nothing is written. It raises a Failure if containers cannot
    reach this machine.
    """
    host = gateway()
    if host is None:
        to.unlink(missing_ok=True)
        return None
    if host != DESKTOP_HOST:
        ensure_forwarder(host, port)
    endpoint = {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps({name: {**variables, **endpoint} for name, variables in functions.items()}, indent=2) + "\n")
    return f"`sam local invoke` finds it by {os.path.relpath(to)}"


def withdraw(port: int) -> None:
    """Deletes the file if it is about the local AWS on this port."""
    try:
        named = json.loads(VARIABLES.read_text())
    except (OSError, ValueError):
        return
    if any(variables["AWS_ENDPOINT_URL"].endswith(f":{port}") for variables in named.values()):
        VARIABLES.unlink(missing_ok=True)


def gateway() -> str | None:
    """Returns the host name or address of this machine in the default network of the container engine; None without an engine."""
    system = output_of("docker", "info", "--format", "{{.OperatingSystem}}")
    if system and "Docker Desktop" in system:
        return DESKTOP_HOST
    if system and (found := gateway_in(output_of("docker", "network", "inspect", "bridge"))):
        return found
    # Networks of a user's own podman are in a namespace of theirs, in which this machine has no address.
    if os.geteuid() == 0:
        return gateway_in(output_of("podman", "network", "inspect", "podman"))
    return None


def output_of(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ENGINE_SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def gateway_in(described: str | None) -> str | None:
    """Returns the gateway of a network as Docker or podman describes it, of IPv4."""
    if not described:
        return None
    network = json.loads(described)[0]
    subnets = (network.get("IPAM") or {}).get("Config") or network.get("subnets") or []
    gateways = [subnet.get("Gateway") or subnet.get("gateway") or "" for subnet in subnets]
    return next((address for address in gateways if "." in address), None)


def ensure_forwarder(address: str, port: int) -> None:
    pid = server.recorded(port)["pid"]
    record = server.home_of(port) / "forwarder.json"
    wanted = {"address": address, "upstream": pid}
    if is_there(record, wanted):
        return
    command = [sys.executable, str(HERE / "forwarder.py"), address, str(port), str(pid)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    if process.stdout.readline().strip() != "ready":
        raise Failure(f"containers cannot reach it: {process.communicate()[1].strip()}")
    record.write_text(json.dumps({**wanted, "pid": process.pid, "started_at": server.started_at(process.pid)}))


def is_there(record: Path, wanted: dict) -> bool:
    try:
        found = json.loads(record.read_text())
    except (OSError, ValueError):
        return False
    return all(found[key] == value for key, value in wanted.items()) and server.started_at(found["pid"]) == found["started_at"]
