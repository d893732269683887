#!/usr/bin/env python3
"""Records the tests and checks that `make test` could not run on this machine, and reports them at the end.

    python3 tools/not_run.py begin        forgets what an earlier run noted
    python3 tools/not_run.py note WHAT WHY
    python3 tools/not_run.py end          prints a line for each thing that was not run

A check that lacks something notes it here; the Rust tests (tests/src/needs.rs) write to the same file, which
NOT_RUN_LIST names. If CI is set, a check that cannot run fails at once.
"""

import os
import sys
from pathlib import Path

LIST = Path(os.environ.get("NOT_RUN_LIST") or Path(__file__).resolve().parents[1] / "target" / "not-run.tsv")


def not_run(what: str, why: str) -> bool:
    """Notes that `what` was not run. Returns whether that is acceptable, which it is unless CI is set."""
    LIST.parent.mkdir(parents=True, exist_ok=True)
    with open(LIST, "a") as noted:
        noted.write(f"{what}\t{why}\t\n")
    print(f"NOT RUN: {what}: {why}", flush=True)
    return not os.environ.get("CI")


def lines() -> list[str]:
    """Returns one line for each thing that was not run, with the number of tests that it concerns."""
    tests: dict[tuple[str, str], set[str]] = {}
    for line in LIST.read_text().splitlines() if LIST.exists() else []:
        what, why, test = line.split("\t")
        tests.setdefault((what, why), set()).add(test)
    counted = {key: len(names - {""}) for key, names in tests.items()}
    return [f"NOT RUN: {what}{f' ({n} tests)' if n else ''}: {why}" for (what, why), n in counted.items()]


def main() -> None:
    match sys.argv[1:]:
        case ["begin"]:
            LIST.unlink(missing_ok=True)
        case ["note", what, why]:
            sys.exit(0 if not_run(what, why) else 1)
        case ["end"]:
            print("\n".join(["", *(lines() or ["nothing was left out"])]))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
