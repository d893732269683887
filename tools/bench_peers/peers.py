#!/usr/bin/env python3
"""Compares what serves with other libraries: training, accuracy, scoring, files, one row at a time, and servers.

Every run is a separate process, the libraries take turns, and the process's CPU time during the call is measured. The
first run makes the environment, the data and the models under target/bench-peers; delete that folder to make them
again. Real trips come from TRIPS_DIR; without it only generated trips are used. The tables go to stdout and to a
Markdown file, progress to stderr. Build our programs first:

  cargo build --release --locked -p tripcast --bin tripcast --example served
  cargo build --release --locked -p trees --example bench
"""

import argparse
import datetime
import sys
from pathlib import Path

import environment
from environment import PROJECT
from failure import Failure

PROGRAMS = PROJECT / "target" / "release"
BUILD = "make bench-peers"
FULL_ROWS, QUICK_ROWS = 1_000_000, 100_000


def bench(args: argparse.Namespace) -> None:
    # Imported here because they need packages of the environment.
    import machine
    import report
    import suites

    report.check(args.out)
    rows, repeats = (QUICK_ROWS, 1) if args.quick else (FULL_ROWS, args.repeats)
    plan = suites.Plan(args.programs.resolve(), repeats, rows, args.quick)
    about = machine.describe()
    print(about)
    for name in [args.only] if args.only else [name for name in suites.SUITES if name != suites.LARGE]:
        section = suites.SUITES[name](plan)
        section.notes.insert(0, f"Measured on {datetime.date.today().isoformat()}, on {machine.hardware()}.")
        print(f"\n{section.markdown()}", flush=True)
        # Written section by section, so that a failure does not lose the sections before it.
        report.write(args.out, about, {section.title: section.markdown()})
    print(f"bench peers: written to {args.out}", file=sys.stderr)


def check(args: argparse.Namespace) -> None:
    """Checks the requirements before the environment is made."""
    if not Path("/proc/self/clear_refs").exists():
        raise Failure("memory is measured through /proc, which only Linux has")
    for name in ("tripcast", "examples/bench", "examples/served"):
        if not (args.programs / name).is_file():
            raise Failure(f"there is no {args.programs / name}; build it first, as {BUILD} does")


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: 1 repeat, 100,000 rows")
    parser.add_argument("--repeats", type=at_least_one, default=5, metavar="N", help="runs of each rival (default: 5)")
    parser.add_argument("--only", choices=("training", "accuracy", "scoring", "files", "files-20m", "single", "web"),
                        help="one section; the others stay as they are. files-20m is measured only then: a run of it takes most of an hour")
    parser.add_argument("--programs", type=Path, default=PROGRAMS, metavar="FOLDER",
                        help="where our programs are (default: the release build)")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="default: docs/BENCHMARKS.md; with --quick target/bench-peers/quick.md")
    return parser


def main() -> None:
    args = command_line().parse_args()
    if args.out is None:
        args.out = environment.STATE / "quick.md" if args.quick else PROJECT / "docs" / "BENCHMARKS.md"
    try:
        check(args)
        environment.ensure()
        environment.reenter()
        # Two benchmarks at once would disturb each other.
        with environment.exclusive("run"):
            bench(args)
    except Failure as failure:
        sys.exit(f"bench peers: {failure}")
    except OSError as error:
        sys.exit(f"bench peers: {error}")
    except KeyboardInterrupt:
        sys.exit("bench peers: interrupted")


if __name__ == "__main__":
    main()
