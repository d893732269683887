"""Checks licences, sources, bans and advisories of the dependencies with a pinned version of cargo-deny.

    python3 tools/deny/deny.py [--offline]      (by `make deny`; advisories need the network)
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from python_environment import PROJECT, Environment, Failure  # noqa: E402

OURS = Environment(PROJECT / "target" / "deny", HERE / "requirements.lock", "cargo-deny (30 MB)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offline", action="store_true", help="without advisories, which lie in a database on the web")
    args = parser.parse_args()
    try:
        OURS.ensure()
    except Failure as failure:
        print(f"deny: {failure}", file=sys.stderr)
        return 1
    environment = {**os.environ, "PATH": f"{OURS.venv / 'bin'}:{os.environ.get('PATH', '')}"}
    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=PROJECT, check=True)
    checks = ["--offline", "check", "bans", "licenses", "sources"] if args.offline else ["check"]
    return subprocess.run(["cargo", "deny", "--locked", *checks], cwd=PROJECT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
