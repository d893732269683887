"""Runs `sam local invoke` for every function with a sample event, if there is a container engine.

    python3 tools/infra/sam_local.py          (by `make sam-local`; `make sam-build` comes first)

Each function has to start in Lambda's image and to respond, even if only with the error that there is no model.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

from lint import NO_ACCOUNT, TOOLS  # noqa: E402
from python_environment import PROJECT, Failure  # noqa: E402

EVENTS = {
    "ScorerFunction": "scorer-sqs.json",
    "BatchPredictorFunction": "batch-predictor-s3-test-event.json",
    "RetrainerFunction": "retrainer-report.json",
}
# Variables by which clients find the container engine.
ENGINES = ("DOCKER_HOST", "HOME", "XDG_RUNTIME_DIR")
BUILT = PROJECT / "target" / "sam" / "build" / "template.yaml"


def main() -> int:
    try:
        if not engine():
            print("sam-local: NOT RUN, no container engine answers here (docker info, podman info)")
            return 0
        if not BUILT.is_file():
            raise Failure("nothing is built; run `make sam-build`")
        TOOLS.ensure()
        for function, event in EVENTS.items():
            invoke(function, event)
    except Failure as failure:
        print(f"sam-local: {failure}", file=sys.stderr)
        return 1
    print(f"sam-local: {len(EVENTS)} functions answered")
    return 0


def engine() -> bool:
    """Returns whether Docker or podman runs; an installed client is not enough."""
    found = [name for name in ("docker", "podman") if shutil.which(name)]
    return any(subprocess.run([name, "info"], capture_output=True).returncode == 0 for name in found)


def invoke(function: str, event: str) -> None:
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
    command = [
        str(TOOLS.venv / "bin" / "sam"), "local", "invoke", function, "--template", str(BUILT),
        "--parameter-overrides", f"Architecture={machine}",
        "--event", str(PROJECT / "infra" / "events" / event),
    ]
    environment = {**NO_ACCOUNT, "PATH": "/usr/local/bin:/usr/bin:/bin", "SAM_CLI_TELEMETRY": "0"}
    environment.update({name: os.environ[name] for name in ENGINES if name in os.environ})
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    answered = done.returncode == 0 and ("errorType" in done.stdout or done.stdout.strip())
    if not answered or "Runtime." in done.stdout + done.stderr:
        raise Failure(f"{function} did not answer: {done.stderr.strip()[-400:]}")
    print(f"sam-local: {function} answers {done.stdout.strip()[:120]}")


if __name__ == "__main__":
    sys.exit(main())
