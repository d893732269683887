#!/usr/bin/env python3
"""Runs the commands of docs/COMPARED.md one after the other in one shell, and compares what they print with the lines that
begin with `#` below them. `make local` comes first. A command without such lines has to succeed.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "COMPARED.md"
SECONDS_MAX = 900
# Of the servers that the page starts.
PORTS = (8080, 9464)


@dataclass
class Step:
    command: str
    printed: list[str] = field(default_factory=list)


def steps(page: str) -> list[Step]:
    """Returns the lines of all code blocks, each with the lines below it that begin with `#`."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("# "):
                found[-1].printed.append(line[2:])
            else:
                found.append(Step(line))
    return found


def script(of: list[Step], out: Path) -> str:
    """Returns what runs the commands: each writes what it prints, and its exit code, to files of its own. A server that was
    started answers only after a while, so what asks one begins when it does."""
    lines = ["set -o pipefail", 'curl() { command curl --retry 20 --retry-connrefused --retry-delay 1 "$@"; }']
    for number, step in enumerate(of):
        # Not in a subshell: variables of one line are used in the next.
        lines += [f"{{ {step.command}\n}} >{out}/{number}.out 2>{out}/{number}.err; echo $? >{out}/{number}.code"]
    return "\n".join([*lines, 'kill $web $monitor; rm -r "$S"', ""])


def check(of: list[Step], out: Path) -> list[str]:
    wrong = []
    for number, step in enumerate(of):
        code = out / f"{number}.code"
        if not code.exists():
            return [*wrong, f"{step.command}\n  was not reached"]
        printed = [line.rstrip() for line in (out / f"{number}.out").read_text().splitlines()]
        if code.read_text().strip() != "0":
            wrong.append(f"{step.command}\n  exit code {code.read_text().strip()}: {(out / f'{number}.err').read_text().strip()}")
        elif step.printed and printed != step.printed:
            wrong.append("\n  ".join([step.command, "expected:", *step.printed, "printed:", *printed]))
    return wrong


def main() -> None:
    if not (PROJECT / "target" / "release" / "tripcast").exists():
        sys.exit("compared: there is no target/release/tripcast; run `make local` first")
    of = steps(PAGE.read_text())
    with tempfile.TemporaryDirectory() as folder:
        for port in PORTS:
            with socket.socket() as free:
                if free.connect_ex(("127.0.0.1", port)) == 0:
                    sys.exit(f"compared: something answers on port {port} already")
        shell = subprocess.Popen(["bash", "-c", script(of, Path(folder))], cwd=PROJECT, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            shell.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            sys.exit(f"compared: the commands did not end within {SECONDS_MAX} seconds")
        finally:
            # The servers that it started are in its session.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
        wrong = check(of, Path(folder))
    if wrong:
        sys.exit("\n".join(["compared: docs/COMPARED.md is not what happens:", *wrong]))
    print(f"compared: {len(of)} commands ran, {sum(bool(step.printed) for step in of)} printed what docs/COMPARED.md states")


if __name__ == "__main__":
    main()
