"""Measures what an event costs a process that has answered others before: batches of messages, a trip over HTTP, a month."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import champions
import theirs
from emulator import Function, children_of, cpu_seconds, emulating, invoke, memory_peak_mb
from ours import all_sent
from queue_double import Queue

# Messages of a batch: as template.yaml configures the trigger, and as SQS does by itself.
BATCHES = (100, 10)
WARM_UP, EVENTS, PROCESSES = 20, 200, 3
# A month takes longer.
MONTHS = 10


@dataclass(frozen=True)
class Warm:
    """Measurements of one process, for an event."""

    function: str
    # Messages or requests of an event.
    n: int
    cpu_ms: float
    wall_ms: float
    peak_mb: float


def measure(binary: Path, functions: list[Function], queue: Queue, say: Callable[[str], None]) -> list[list[Warm]]:
    """Returns the measurements of the processes of each kind of event, in the order of the kinds."""
    bodies = champions.messages(max(BATCHES))
    kinds = []
    for function in functions:
        if function.name in ("scorer", *theirs.NAMES.values()):
            kinds += [(with_batch(function, bodies[:n], queue), n, EVENTS) for n in BATCHES]
        elif function.name == "web":
            kinds.append((function, 1, EVENTS))
        elif function.name.endswith("a month"):
            kinds.append((function, 1, MONTHS))
    measured = [[] for _ in kinds]
    # All kinds take turns, so that changes in the machine's speed affect all of them alike.
    for number in range(PROCESSES):
        for (function, n, events), found in zip(kinds, measured):
            found.append(warm(binary, function, n, events))
            say(f"process {number + 1} of {PROCESSES}: {function.name}, {n} at once: {found[-1].cpu_ms:,.2f} ms of CPU")
    return measured


def with_batch(function: Function, bodies: list[str], queue: Queue) -> Function:
    """Returns a function that gets these messages at once."""
    sample = function.event["Records"][0]
    records = [{**sample, "messageId": f"{at:08}", "body": body} for at, body in enumerate(bodies)]
    return dataclasses.replace(function, event={"Records": records}, judge=all_sent(queue, len(bodies)))


def warm(binary: Path, function: Function, n: int, events: int) -> Warm:
    """Sends the event again and again to one process, and measures all but the first ones."""
    with emulating(binary, function) as (port, emulator):
        for _ in range(max(1, WARM_UP * events // EVENTS)):
            function.prepare()
            function.judge(invoke(port, function.event))
        pid, = children_of(emulator.pid)
        cpu, wall = cpu_seconds(pid), 0.0
        for _ in range(events):
            function.prepare()
            began = time.perf_counter()
            answer = invoke(port, function.event)
            wall += time.perf_counter() - began
            function.judge(answer)
        cpu = cpu_seconds(pid) - cpu
        return Warm(function.name, n, cpu / events * 1e3, wall / events * 1e3, memory_peak_mb(pid))
