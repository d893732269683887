#!/usr/bin/env python3
"""Measures cold starts of our functions and of a Python function that does the course's job, in AWS's emulator of
Lambda, and then what messages cost that warm processes answer.

    python3 tools/bench_cold/cold.py            (by `make bench-cold`, which builds the packages first)

Every run starts a new emulator and a new process, all functions take turns, and the first round does not count. The
first run installs, trains and packs what the Python functions need (ten minutes) under target/bench-cold; delete that
folder to repeat it. The tables go to stdout and to docs/BENCHMARKS.md, progress to stderr.
"""

import argparse
import os
import sys
from pathlib import Path

import champions
import emulator
import ours
import report
import theirs
import warm
from emulator import Function, Start
from places import PROJECT, Failure
from queue_double import Queue

OUT = PROJECT / "docs" / "BENCHMARKS.md"
ONLY = ("scorer", "web", "batch-predictor", "retrainer", "course", "lean")


def bench(args: argparse.Namespace) -> None:
    champions.make()
    theirs.make()
    binary = emulator.install(theirs.COURSE.environment.python)
    with Queue() as queue:
        functions = [*ours.functions(args.packages.resolve(), queue), *theirs.functions(queue)]
        functions = [function for function in functions if not args.only or args.only in function.name]
        load_before = os.getloadavg()[0]
        measured = in_turn(binary, functions, args.runs)
        if args.only:
            print(report.starts(measured))
            return
        messages = warm.measure(binary, functions, queue, say)
    section = report.section(measured, messages, args.packages, (load_before, os.getloadavg()[0]))
    print(section)
    report.write(args.out, section)
    say(f"written to {args.out}")


def in_turn(binary: Path, functions: list[Function], runs: int) -> list[tuple[Function, list[Start]]]:
    """Runs the functions round by round, so that changes in the machine's speed affect all of them alike."""
    measured = [(function, []) for function in functions]
    for number in range(runs + 1):
        for function, starts in measured:
            start = emulator.cold_start(binary, function)
            say(f"round {number} of {runs}: {function.name}: {start.first_answer_ms:,.1f} ms, {start.cpu_ms:,.1f} ms of CPU")
            # In the first round files come from the disk, and Python compiles what the installer did not.
            if number > 0:
                starts.append(start)
    return measured


def say(what: str) -> None:
    print(f"bench cold: {what}", file=sys.stderr, flush=True)


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=at_least_one, default=50, metavar="N", help="runs of each function (default: %(default)s)")
    parser.add_argument("--packages", type=Path, default=PROJECT / "target" / "local", metavar="DIR",
                        help="holds <function>/bootstrap.zip, or bare binaries (default: target/local)")
    parser.add_argument("--only", choices=ONLY, help="one function; prints its starts, writes nothing")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help="default: docs/BENCHMARKS.md")
    return parser


def main() -> None:
    args = command_line().parse_args()
    try:
        if not Path("/proc/self/status").exists():
            raise Failure("memory is measured through /proc, which only Linux has")
        report.check(args.out)
        # Two benchmarks at once would disturb each other.
        with theirs.COURSE.environment.exclusive("run"):
            bench(args)
    except (Failure, OSError) as failure:
        sys.exit(f"bench cold: {failure}")
    except KeyboardInterrupt:
        sys.exit("bench cold: interrupted")


if __name__ == "__main__":
    main()
