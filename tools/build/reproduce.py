"""Builds the packages for AWS again, from a clone in another folder with its own target folder, and compares them with
those of `make build`: the same sources have to give the same bytes.

    python3 tools/build/reproduce.py --architecture x86_64        (by `make reproduce`, after `make build`)
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from build import ARCHITECTURES, FUNCTIONS, OURS, PROJECT, Failure  # noqa: E402

ELSEWHERE = PROJECT / "target" / "reproduce" / "another-place"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), required=True)
    args = parser.parse_args()
    try:
        clone()
        built = subprocess.run([sys.executable, "tools/build/build.py", "--architecture", args.architecture], cwd=ELSEWHERE)
        if built.returncode != 0:
            raise Failure("the second build failed (above)")
        different = [name for name in FUNCTIONS if not same(args.architecture, name)]
        if different:
            raise Failure(f"two builds of the same sources differ: {', '.join(different)}")
    except (Failure, OSError, subprocess.CalledProcessError) as failure:
        print(f"reproduce: {failure}", file=sys.stderr)
        return 1
    return 0


def clone() -> None:
    """Clones the commit into another folder, which shares the pinned tools but nothing that was compiled."""
    # Of any file, since the revision in a build says whether there was a change.
    if subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=PROJECT).returncode:
        raise Failure("files are changed that are not committed: a clone would be built from others, and be another revision")
    shutil.rmtree(ELSEWHERE, ignore_errors=True)
    ELSEWHERE.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "clone", "--quiet", "--shared", str(PROJECT), str(ELSEWHERE)], check=True)
    (ELSEWHERE / "target").mkdir()
    (ELSEWHERE / "target" / OURS.state.name).symlink_to(OURS.state)


def same(architecture: str, function: str) -> bool:
    packages = [root / "target" / "lambda" / architecture / function / "bootstrap.zip" for root in (PROJECT, ELSEWHERE)]
    if missing := [str(package) for package in packages if not package.is_file()]:
        raise Failure(f"no package {', '.join(missing)}; run `make build`")
    first, second = (hashlib.sha256(package.read_bytes()).hexdigest() for package in packages)
    print(f"{architecture} {function}  {first}  {'the same again' if first == second else f'NOT {second}'}")
    return first == second


if __name__ == "__main__":
    sys.exit(main())
