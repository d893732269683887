"""Runs jobs in turn, each in a new process on as many cores as it has threads, until all have had their repeats."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, median

from environment import PROJECT

SECONDS_MAX = 3_600
REASON_MAX = 200
# Limits every thread pool that a library might open to one thread.
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS")
}


@dataclass(frozen=True)
class Job:
    """A command to measure; it prints its result as JSON."""

    name: str
    command: list[str | Path]
    threads: int = 1
    # Whether chance has a part in the result: every round then has a seed of its own, the same for all jobs.
    seeded: bool = False
    # Why the command cannot run, if that is known beforehand.
    impossible: str | None = None


@dataclass
class Outcome:
    """The results of a job's runs, or the reason why there are none."""

    name: str
    runs: list[dict] = field(default_factory=list)
    failure: str | None = None

    def values(self, key: str) -> list[float]:
        return [float(run[key]) for run in self.runs]

    def median(self, key: str) -> float:
        return median(self.values(key))

    def mean(self, key: str) -> float:
        return mean(self.values(key))


def in_turn(jobs: list[Job], repeats: int, about: str) -> list[Outcome]:
    """Runs the jobs round by round, so that changes in the machine's speed affect all of them alike."""
    outcomes = [Outcome(job.name, failure=job.impossible) for job in jobs]
    for number in range(1, repeats + 1):
        for job, outcome in zip(jobs, outcomes):
            if outcome.failure is None:
                attempt(job, outcome, number)
                said = outcome.failure or said_of(outcome.runs[-1])
                say(f"{about}, round {number} of {repeats}: {job.name}: {said}")
    return outcomes


def attempt(job: Job, outcome: Outcome, number: int) -> None:
    seed = ["--seed", str(number)] if job.seeded else []
    answer, failure = answer_of(replace(job, command=[*job.command, *seed]))
    if failure is None:
        outcome.runs.append(answer)
    else:
        # The median of the earlier runs would hide the failure.
        outcome.runs, outcome.failure = [], failure


def answer_of(job: Job) -> tuple[dict, str | None]:
    try:
        done = subprocess.run(
            [str(word) for word in job.command], capture_output=True, text=True, timeout=SECONDS_MAX,
            env={**os.environ, **(ONE_THREAD if job.threads == 1 else {})}, preexec_fn=lambda: pin(job.threads),
        )
    except FileNotFoundError:
        return {}, f"there is no {Path(job.command[0]).name}"
    except subprocess.TimeoutExpired:
        return {}, f"not done after {SECONDS_MAX} s"
    if done.returncode < 0:
        return {}, f"killed by signal {-done.returncode}"
    if done.returncode > 0:
        return {}, reason(done.stderr) or f"exit code {done.returncode}"
    # Libraries print lines of their own before the last one; the product prints one document on several lines.
    for text in (done.stdout, last_line(done.stdout)):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(text), None
    return {}, "its answer is not JSON"


def pin(threads: int) -> None:
    """Pins the process to as many cores as it has threads: the last ones, because interrupts tend to hit the first."""
    os.sched_setaffinity(0, cores()[-threads:])


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def said_of(answer: dict) -> str:
    if "ns_per_row" in answer:
        return f"{answer['ns_per_row']:.0f} ns a row"
    return f"{answer.get('cpu_s', answer.get('wall_s', 0.0)):.3f} s"


def reason(output: str) -> str:
    """Returns the last line of the output, without the path of this checkout, and short enough for a table."""
    return last_line(output).replace(f"{PROJECT}/", "")[:REASON_MAX]


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def say(what: str) -> None:
    print(f"bench peers: {what}", file=sys.stderr, flush=True)
