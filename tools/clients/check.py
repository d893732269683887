"""Runs the examples of docs/CLIENTS.md as they are written, on the local AWS and on `tripcast serve`.

    python3 tools/clients/check.py [--update]          (by `make test-clients`, which builds what it runs)

Only the port 8080 of the examples is replaced, by one that is free. What an example prints has to be what stands in the block below
it; --update writes what it printed there.
"""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from python_environment import PROJECT, Environment, Failure  # noqa: E402

STATE = PROJECT / "target" / "clients"
OURS = Environment(STATE, HERE / "requirements.lock", "the AWS CLI, boto3 and MLflow's client (about 330 MB on disk)")
PAGE = PROJECT / "docs" / "CLIENTS.md"
LOCAL_AWS = PROJECT / "infra" / "local" / "local_aws.py"
TRIPCAST = PROJECT / "target" / "release" / "tripcast"
BLOCK = re.compile(r"^```(sh|python|text|json)( setup)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANSWERS = ("text", "json")
EXAMPLE_SECONDS_MAX = 90


@dataclass
class Example:
    line: int
    language: str
    code: str
    expected: str
    # Where the expected text is on the page.
    span: tuple[int, int]


def main() -> int:
    try:
        OURS.ensure()
        OURS.reenter()
        page = PAGE.read_text()
        setup, examples = read(page)
        with OURS.exclusive("run"), local_aws() as environment, served(environment) as port:
            answers = [answer(example, setup, environment, port) for example in examples]
    except Failure as failure:
        print(f"clients: {failure}", file=sys.stderr)
        return 1
    differing = [(example, given) for example, given in zip(examples, answers) if given != example.expected]
    if "--update" in sys.argv:
        for example, given in reversed(differing):
            page = page[: example.span[0]] + given + page[example.span[1] :]
        PAGE.write_text(page)
        print(f"clients: {len(differing)} answers of {PAGE.name} written anew")
        return 0
    for example, given in differing:
        print(f"clients: {PAGE.name}:{example.line} printed\n{given}expected\n{example.expected}", file=sys.stderr)
    print(f"clients: {len(examples) - len(differing)} of {len(examples)} examples print what {PAGE.name} shows")
    return 1 if differing else 0


def read(page: str) -> tuple[str, list[Example]]:
    """Returns the code that precedes every example, and the examples."""
    setup, examples = [], []
    blocks = list(BLOCK.finditer(page))
    for block, after in zip(blocks, [*blocks[1:], None]):
        language, is_setup, code = block.groups()
        line = page.count("\n", 0, block.start()) + 1
        if is_setup:
            setup.append(code)
        elif language not in ANSWERS:
            if after is None or after[1] not in ANSWERS:
                raise Failure(f"{PAGE.name}:{line}: an example without the answer that it gives")
            examples.append(Example(line, language, code, after[3], after.span(3)))
    if not examples:
        raise Failure(f"{PAGE.name} has no examples")
    return "".join(setup), examples


@contextlib.contextmanager
def local_aws() -> Iterator[dict[str, str]]:
    """Runs the demo, and yields the variables of the shell that a user has after it."""
    port = run([sys.executable, LOCAL_AWS, "free-port"], {}).strip()
    own = {"LOCAL_AWS_PORT": port, "PATH": f"{OURS.venv / 'bin'}:{os.defpath}"}
    # Trips of TRIPS_DIR would give other models than those of the page.
    base = {name: value for name, value in os.environ.items() if name != "TRIPS_DIR" and not name.startswith("AWS_")}
    try:
        run([sys.executable, PROJECT / "infra" / "local" / "demo.py"], {**base, **own})
        exports = run(["bash", "-euc", f'eval "$({sys.executable} {LOCAL_AWS} env)"; env -0'], {**base, **own})
        environment = dict(entry.split("=", 1) for entry in exports.split("\0") if entry)
        yield {**environment, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    finally:
        run([sys.executable, LOCAL_AWS, "down"], {**base, **own})


@contextlib.contextmanager
def served(environment: dict[str, str]) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = STATE / "serve.log"
    with open(log, "w") as to:
        command = [TRIPCAST, "serve", "--store", f"s3://{environment['MODEL_BUCKET']}", "--listen", f"127.0.0.1:{port}"]
        server = subprocess.Popen(command, stderr=to, env=environment)
    try:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            if server.poll() is not None or time.monotonic() > until:
                raise Failure(f"`tripcast serve` did not start: {log.read_text()[-400:]}")
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait()


def answer(example: Example, setup: str, environment: dict[str, str], port: int) -> str:
    code = example.code.replace("8080", str(port))
    if example.language == "python":
        command = [OURS.python, "-c", code]
    else:
        command = ["bash", "-euo", "pipefail", "-c", setup + code]
    try:
        printed = run(command, environment, EXAMPLE_SECONDS_MAX)
    except Failure as failure:
        raise Failure(f"{PAGE.name}:{example.line}: {failure}") from None
    return printed if printed.endswith("\n") else printed + "\n"


def run(command: list, environment: dict[str, str], seconds: float | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=PROJECT, env=environment or None, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failure(f"not done after {seconds} s") from None
    if done.returncode != 0:
        raise Failure(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
