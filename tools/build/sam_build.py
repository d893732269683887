"""Builds with `sam build` (rust-cargolambda), as users of the SAM CLI do, and packs the results for the tests as
target/sam/<function>/bootstrap.zip.

    python3 tools/build/sam_build.py          (by `make sam-build`; for this machine's processor)
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "infra"))

import build  # noqa: E402
import package  # noqa: E402
from lint import NO_ACCOUNT, TOOLS  # noqa: E402
from python_environment import FUNCTIONS, PROJECT, Failure  # noqa: E402

OUT = PROJECT / "target" / "sam"


def main() -> int:
    architecture = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
    try:
        build.OURS.ensure()
        TOOLS.ensure()
        sam = TOOLS.venv / "bin" / "sam"
        command = [str(sam), "build", "--build-dir", str(OUT / "build"), "--parameter-overrides", f"Architecture={architecture}"]
        if subprocess.run(command, cwd=PROJECT, env=environment()).returncode != 0:
            raise Failure("sam build failed (above)")
        for function in FUNCTIONS:
            # batch-predictor is BatchPredictorFunction in the template.
            resource = "".join(word.capitalize() for word in function.split("-")) + "Function"
            binary = OUT / "build" / resource / "bootstrap"
            build.check(binary, build.ARCHITECTURES[architecture][1])
            packed = package.pack(binary, OUT / function)
            print(f"{packed.relative_to(PROJECT)}  {package.megabytes(packed)}")
    except (Failure, OSError, subprocess.CalledProcessError) as failure:
        print(f"sam-build: {failure}", file=sys.stderr)
        return 1
    return 0


def environment() -> dict[str, str]:
    """Returns the environment of `make build`, without AWS accounts and without telemetry.

    Compiled files go to a separate folder: they are linked differently, and in a shared one each build would replace
    the other's.
    """
    own = {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(OUT / "cli"), "CARGO_TARGET_DIR": str(OUT / "cargo")}
    return {**build.environment(), **NO_ACCOUNT, **own, "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore")}


if __name__ == "__main__":
    sys.exit(main())
