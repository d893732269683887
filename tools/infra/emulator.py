"""Prints the path of Lambda's Runtime Interface Emulator, which is part of the SAM CLI that `make lint-infra` uses."""

import platform
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

from lint import TOOLS  # noqa: E402
from python_environment import Failure  # noqa: E402


def main() -> int:
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
    try:
        TOOLS.ensure()
        found = sorted(TOOLS.venv.glob(f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))
        if not found:
            raise Failure(f"the SAM CLI has no emulator for {machine}")
    except Failure as failure:
        print(f"emulator: {failure}", file=sys.stderr)
        return 1
    print(found[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
