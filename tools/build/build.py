"""Builds the functions' packages for AWS: <to>/<architecture>/<function>/{bootstrap.zip,bootstrap,bom.json}.

    python3 tools/build/build.py                              (by `make build`; both architectures)
    python3 tools/build/build.py --architecture arm64 --to target/lambda

cargo-lambda links with zig against the C library of Amazon Linux 2023, independent of this machine's. Paths of this
machine are kept out of the binaries, so that the same sources give the same bytes anywhere.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parents[1] / "infra"))

import bom  # noqa: E402
import package  # noqa: E402
from python_environment import FUNCTIONS, PROJECT, Environment, Failure  # noqa: E402

OURS = Environment(PROJECT / "target" / "build-tools", HERE / "requirements.lock", "cargo-lambda and zig (480 MB on disk)")
# Lambda's name of an architecture -> rustc's target triple, and the machine number in ELF headers.
ARCHITECTURES = {"arm64": ("aarch64-unknown-linux-gnu", 0xB7), "x86_64": ("x86_64-unknown-linux-gnu", 0x3E)}
# The version of glibc in provided.al2023.
GLIBC = (2, 34)
UNZIPPED_BYTES_MAX = 250 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), action="append", default=[],
                        help="build for this one only (default: for all that can be built for)")
    parser.add_argument("--to", type=Path, default=PROJECT / "target" / "lambda", metavar="DIR",
                        help="folder of the packages (default: target/lambda)")
    parser.add_argument("--target-dir", type=Path, default=PROJECT / "target", metavar="DIR",
                        help="folder of what cargo builds (default: target)")
    args = parser.parse_args()
    try:
        OURS.ensure()
        for architecture in args.architecture or sorted(ARCHITECTURES):
            if installed(architecture, is_asked_for=bool(args.architecture)):
                build(architecture, args.to / architecture, args.target_dir)
    except (Failure, OSError, subprocess.CalledProcessError) as failure:
        print(f"build: {failure}", file=sys.stderr)
        return 1
    return 0


def installed(architecture: str, is_asked_for: bool) -> bool:
    """Returns whether rustc can compile for the architecture, after adding its standard library if possible."""
    triple, _ = ARCHITECTURES[architecture]
    found = subprocess.run(["rustup", "target", "list", "--installed"], cwd=PROJECT, capture_output=True, text=True)
    if triple in found.stdout.split():
        return True
    added = subprocess.run(["rustup", "target", "add", triple], cwd=PROJECT, capture_output=True, text=True)
    if added.returncode == 0:
        return True
    if is_asked_for:
        raise Failure(f"rustc cannot compile for {architecture}: `rustup target add {triple}` failed")
    print(f"build: {architecture} SKIPPED, its standard library cannot be added here (rustup target add {triple})")
    return False


def build(architecture: str, to: Path, target_dir: Path) -> None:
    triple, machine = ARCHITECTURES[architecture]
    binaries = target_dir / "cargo-lambda" / architecture
    selected = [argument for function in FUNCTIONS for argument in ("-p", function)]
    command = ["cargo", "lambda", "build", "--release", "--locked", *selected, "--target", f"{triple}.{GLIBC[0]}.{GLIBC[1]}",
               "--lambda-dir", str(binaries.resolve())]
    # Set by the environment, because cargo-lambda would pass an option on to commands that do not know it.
    where = {"CARGO_TARGET_DIR": str(target_dir.resolve())}
    if subprocess.run(command, cwd=PROJECT, env={**environment(), **where}).returncode != 0:
        raise Failure(f"cargo lambda build for {architecture} failed (above)")
    for function in FUNCTIONS:
        binary = binaries / function / "bootstrap"
        check(binary, machine)
        folder = to / function
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bom.json").write_text(json.dumps(bom.document(PROJECT, function, triple), indent=1) + "\n")
        packed = package.pack(binary, folder, folder / "bom.json")
        print(f"{packed.relative_to(PROJECT) if packed.is_relative_to(PROJECT) else packed}  {package.megabytes(packed)}")


def environment() -> dict[str, str]:
    """Returns the user's environment with the pinned tools first in PATH and flags that remove this machine's paths."""
    registry = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo") / "registry" / "src"
    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=PROJECT, check=True)
    # The project's own files are already compiled by their paths relative to the workspace.
    mapped = [f"--remap-path-prefix={index}=/cargo" for index in sorted(registry.glob("*"))]
    described = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"], cwd=PROJECT,
                               capture_output=True, text=True)
    revision = {"TRIPCAST_REVISION": described.stdout.strip()} if described.returncode == 0 else {}
    return {
        **os.environ,
        **revision,
        "PATH": f"{OURS.venv / 'bin'}:{os.environ.get('PATH', '')}",
        "RUSTFLAGS": " ".join(mapped),
        "CARGO_INCREMENTAL": "0",
        "SOURCE_DATE_EPOCH": "0",
    }


def check(binary: Path, machine: int) -> None:
    """Checks that Lambda can run the binary (architecture, glibc, size), and that it names no path of this machine."""
    content = binary.read_bytes()
    if content[:4] != b"\x7fELF" or content[18] != machine:
        raise Failure(f"{binary} is no binary for the processor it was built for")
    needed = max(((int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", content)), default=(0, 0))
    if needed > GLIBC:
        raise Failure(f"{binary} needs glibc {needed[0]}.{needed[1]}: Amazon Linux 2023 has {GLIBC[0]}.{GLIBC[1]}")
    if len(content) > UNZIPPED_BYTES_MAX:
        raise Failure(f"{binary} has {len(content)} bytes: Lambda takes {UNZIPPED_BYTES_MAX}")
    leaked = [path for path in (str(PROJECT), str(Path.home())) if len(path) > 1 and path.encode() in content]
    if leaked:
        raise Failure(f"{binary} names paths of this machine: {', '.join(leaked)}")


if __name__ == "__main__":
    sys.exit(main())
