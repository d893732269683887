"""Measures a call within its own process: CPU time, and how far memory rises during the call.

  measure.py COMMAND...   measures a whole process instead, and prints the same as JSON
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

PASSES_MIN = 3
# So long that a clock tick hardly matters.
SECONDS_MIN = 0.3
# A slow call is not repeated after this time.
SECONDS_ENOUGH = 3.0


@dataclass(frozen=True)
class Measured:
    """Result and cost of a call: CPU seconds over all threads of the process; memory in MB as the kernel counts it."""

    result: Any
    cpu_s: float
    wall_s: float
    rss_before_mb: float
    rss_peak_mb: float


def once(call: Callable[[], Any]) -> Measured:
    forget_peak()
    before, cpu, wall = peak_mb(), time.process_time(), time.perf_counter()
    result = call()
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - wall
    return Measured(result, cpu_s, wall_s, before, peak_mb())


def passes(call: Callable[[], Any]) -> tuple[Any, float]:
    """Returns the call's result and the CPU seconds of its median pass, after one pass to warm up."""
    result = call()
    seconds: list[float] = []
    while sum(seconds) < (SECONDS_ENOUGH if len(seconds) < PASSES_MIN else SECONDS_MIN):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return result, median(seconds)


def forget_peak() -> None:
    """Resets the kernel's record of peak memory to the current value."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell VmHWM")


def tell(**facts: Any) -> None:
    """Prints the result as the last line on stdout; libraries may print lines before it."""
    print(json.dumps(facts), flush=True)


def main() -> None:
    started = time.perf_counter()
    done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
    wall_s, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(done.returncode)
    tell(cpu_s=used.ru_utime + used.ru_stime, wall_s=wall_s, rss_peak_mb=used.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
