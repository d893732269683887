#!/usr/bin/env python3
"""Runs the fuzz targets of tests/src/fuzz.rs under libFuzzer, one after the other.

What libFuzzer learns stays in target/fuzz/corpus. An input that ends a target is written to target/fuzz/found; put it into
tests/fuzz/<target>/ with the change that mends it, so that the gate replays it.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "target" / "fuzz"

# What cargo-fuzz passes: counters of edges, and compared values, for libFuzzer to follow.
FLAGS = " ".join([
    "-Cpasses=sancov-module", "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters", "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares", "-Ccodegen-units=1", "--cfg", "fuzzing",
])


def host() -> str:
    version = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"^host: (.*)$", version, re.MULTILINE)
    if not found:
        sys.exit("fuzz: rustc -vV names no host")
    return found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600, help="time for each target (default: 600)")
    parser.add_argument("--target", action="append", help="only this target; may be given several times")
    args = parser.parse_args()
    triple = host()
    subprocess.run(["cargo", "test", "--locked", "--workspace", "--test", "system", "--", "fuzz_seeds::"], check=True, cwd=ROOT,
                   env=os.environ | {"FUZZ_CORPUS": str(FOLDER / "corpus")}, stdout=subprocess.DEVNULL)
    # For a named target, so that the flags do not reach build scripts.
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "tests", "--bin", "fuzz", "--features", "libfuzzer", "--target", triple,
                    "--target-dir", str(FOLDER)], check=True, cwd=ROOT, env=os.environ | {"RUSTFLAGS": FLAGS, "CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS": "true",
                                     "CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS": "true"})
    binary = FOLDER / triple / "release" / "fuzz"
    names = args.target or sorted(path.name for path in (FOLDER / "corpus").iterdir())
    failed = []
    for name in names:
        found = FOLDER / "found" / name
        found.mkdir(parents=True, exist_ok=True)
        log = FOLDER / f"{name}.log"
        with log.open("w") as output:
            ended = subprocess.run([binary, str(FOLDER / "corpus" / name), f"-max_total_time={args.seconds}", "-timeout=5",
                                    "-rss_limit_mb=2048", "-max_len=65536", f"-artifact_prefix={found}/", "-print_final_stats=1"],
                                   env=os.environ | {"FUZZ_TARGET": name}, stdout=output, stderr=subprocess.STDOUT)
        runs = re.search(r"number_of_executed_units: (\d+)", log.read_text(errors="replace"))
        print(f"{name}: {runs[1] if runs else '?'} inputs in {args.seconds} s, "
              f"{'nothing found' if ended.returncode == 0 else f'FOUND something, see {log}'}", flush=True)
        if ended.returncode != 0:
            failed.append(name)
    if failed:
        sys.exit(f"fuzz: {', '.join(failed)}: the inputs are in {FOLDER / 'found'}")


if __name__ == "__main__":
    main()
