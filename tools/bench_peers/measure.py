"""What a rival's process says of itself: CPU time of a call, and how far its memory rose meanwhile."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

PASSES_MIN = 3
# A clock tick weighs little against so much.
SECONDS_MIN = 0.3
# And a slow call need not be repeated beyond this.
SECONDS_ENOUGH = 3.0


@dataclass(frozen=True)
class Measured:
    """CPU seconds of the whole process, whatever thread spent them; memory in MB as the kernel counts it."""

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
    """What the call gives, and the CPU seconds of its median pass after one to warm up."""
    result = call()
    seconds: list[float] = []
    while sum(seconds) < (SECONDS_ENOUGH if len(seconds) < PASSES_MIN else SECONDS_MIN):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return result, median(seconds)


def forget_peak() -> None:
    """From here on the kernel counts the peak anew, from what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell VmHWM")


def tell(**facts: Any) -> None:
    """The last line on stdout is the answer; libraries may have chatted before."""
    print(json.dumps(facts), flush=True)
