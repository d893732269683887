"""Writes the section of docs/BENCHMARKS.md on cold starts: the results, the method, and what was not measured."""

import datetime
import importlib.metadata
import platform
import re
import subprocess
from pathlib import Path
from statistics import median

import champions
import theirs
from emulator import Function, Start
from places import HERE, PROJECT, TREES, Failure
from warm import EVENTS, MONTHS, PROCESSES, Warm

BEGIN, END = "<!-- cold:begin -->", "<!-- cold:end -->"
PLACE = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
TIMES_MIN = 20
# Largest unpacked size of a zip that AWS accepts.
UNPACKED_BYTES_MAX = 250 * 1024 * 1024
HEADER = """## Cold start

Made by `make bench-cold`; its next run replaces what is between the marks."""
METHOD = f"""Each run is a fresh emulator of AWS's (RIE, without a container), which starts the function's process when the first event
    comes, and one event. First poll: as the emulator reports it, from before it starts the process until that asks for an event.
    First answer: from the event's POST until its answer is read. CPU time and peak memory (VmHWM) are of the function's process,
    once it has answered. Medians (from the least to the most).

    Ours work on directories, with champions that `tripcast train` makes of green {champions.LEARNT_FROM}, read with the first event. The scorer and both
    Python functions answer `infra/events/scorer-sqs.json`, three messages, and send their predictions to one double of SQS, which
    must have received them. The batch predictor answers when the whole file is predicted: {champions.SMALL_ROWS:,} made-up rows, or
    all of green {champions.PREDICTED}. The web function answers `infra/events/web-predict.json`, a trip as API Gateway sends it. The retrainer is asked for the champions' ages, for which it reads no model; a retraining
    takes as long as learning does.

    The Python function is ours, after the course's module on deployment: `PU_DO` and `trip_distance` through scikit-learn's
    DictVectorizer and a random forest of the course's depth and leaf size, but of {TREES} trees; loaded by `mlflow.pyfunc` together
    with the module; boto3; and awslambdaric, AWS's own runtime client. The lean one is the same without MLflow, its pipeline read by
    joblib."""
NOT_MEASURED = """Not measured: fetching the package and starting a microVM, which Lambda adds, and the more the larger the package; a
    store and queues over a network, the same round trips for both sides; less than a whole core, which is what Lambda gives below
    1,769 MB. Files come from the page cache, in every run."""
WARM_HEADER = "### Warm"
Measured = list[tuple[Function, list[Start]]]


def section(measured: Measured, messages: list[list[Warm]], packages: Path, load: tuple[float, float]) -> str:
    about = [when_and_where(measured, packages, load), METHOD, starts(measured), "How many times ours:", times(measured)]
    after = [verdict(measured), sizes(measured), NOT_MEASURED, WARM_HEADER, warm_method(), warm(messages)]
    return "\n\n".join([HEADER, *map(one_line, about), *map(one_line, after)])


def warm_method() -> str:
    trees = champions.trees()
    return f"""{PROCESSES} processes of each, in turn; {EVENTS} events ({MONTHS} months) of a process after some that do not count.
        CPU time is of the function's process alone, without the emulator and the double of SQS; the wall time has both in it.
        Messages are real trips. Our champions have {trees["duration"]:,} and {trees["tip"]:,} trees, and state a duration, its
        interval and the probability of a tip; the Python functions have a forest of {TREES} trees for the duration alone. Both
        send ten messages at once, which is what SQS takes. Medians (from the least to the most)."""


def warm(messages: list[list[Warm]]) -> str:
    rows = [["", "at once", "CPU ms an event", "CPU µs a message", "messages a second of a core", "to ours", "wall ms an event", "peak MB"]]
    ours = {runs[0].n: median(run.cpu_ms for run in runs) for runs in messages if runs[0].function == "scorer"}
    rivals = ("scorer", *theirs.NAMES.values())
    for runs in messages:
        first, cpu = runs[0], median(run.cpu_ms for run in runs)
        of_messages = ["-"] * 3
        if first.function in rivals:
            of_messages = [f"{cpu / first.n * 1e3:,.1f}", f"{first.n / cpu * 1e3:,.0f}", f"{cpu / ours[first.n]:.1f}"]
        rows.append([first.function, str(first.n), spread([run.cpu_ms for run in runs], 2), *of_messages,
                     spread([run.wall_ms for run in runs], 2), spread([run.peak_mb for run in runs], 0)])
    return table(rows)


def when_and_where(measured: Measured, packages: Path, load: tuple[float, float]) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in versions_of_theirs().items())
    emulator = re.search(r"aws-sam-cli==(\S+)", (HERE / "emulator.lock").read_text())[1]
    trips = "real" if (champions.TRIPS / champions.green(champions.PREDICTED)).is_symlink() else "made up"
    return f"""Measured on {datetime.date.today().isoformat()}: {len(measured[0][1])} runs of each, in turn, after one that does not
        count. {processor()}, {cores()} cores, {system()}; load average {load[0]:.1f} before and {load[1]:.1f} after. Our packages
        are those of `{inside(packages)}`, {rustc()}. Python {platform.python_version()} with {versions}. The emulator is that of
        aws-sam-cli {emulator}. Trips are {trips}."""


def starts(measured: Measured) -> str:
    rows = [["", "zip MB", "unpacked MB", "first poll ms", "first answer ms", "CPU ms", "peak MB"]]
    for function, runs in measured:
        spreads = [spread([getattr(run, name) for run in runs], digits)
                   for name, digits in (("first_poll_ms", 1), ("first_answer_ms", 1), ("cpu_ms", 1), ("peak_mb", 0))]
        rows.append([function.name, megabytes(function.zip_bytes), megabytes(function.unpacked_bytes), *spreads])
    return table(rows)


def ratios(measured: Measured) -> list[tuple[str, str, str, float]]:
    """Returns tuples: our function, the measure, the rival, and how many times our value the rival's is."""
    rivals = [one for one in measured if one[0].name in theirs.NAMES.values()]
    found = []
    for function, runs in measured:
        if (function, runs) in rivals:
            continue
        for rival, rival_runs in rivals:
            found.append((function.name, "zip", rival.name, rival.zip_bytes / function.zip_bytes))
            for what, key in (("first answer", "first_answer_ms"), ("CPU", "cpu_ms")):
                middle = [median(getattr(run, key) for run in of) for of in (rival_runs, runs)]
                found.append((function.name, what, rival.name, middle[0] / middle[1]))
    return found


def times(measured: Measured) -> str:
    found = ratios(measured)
    columns = list(dict.fromkeys((what, rival) for _, what, rival, _ in found))
    columns.sort(key=lambda column: ("zip", "first answer", "CPU").index(column[0]))
    rows = [["", *(f"{what}, {rival}" for what, rival in columns)]]
    for name in dict.fromkeys(name for name, *_ in found):
        by = {(what, rival): ratio for of, what, rival, ratio in found if of == name}
        rows.append([name, *(f"{by[column]:,.1f}" for column in columns)])
    return table(rows)


def verdict(measured: Measured) -> str:
    # Functions that share a package share its size, which is listed once.
    short = {f"{what} of {name.partition(',')[0] if what == 'zip' else name} beside {rival}": f" ({ratio:.1f})"
             for name, what, rival, ratio in ratios(measured) if what != "CPU" and ratio < TIMES_MIN}
    reached = f"Not reached: {'; '.join(what + ratio for what, ratio in short.items())}." if short else "Reached everywhere."
    return f"""Wanted: {TIMES_MIN} times in size and to the first answer. {reached} A month is not like for like: Python answers three
        messages meanwhile."""


def sizes(measured: Measured) -> str:
    (ours, _), *_ = measured
    said = ""
    for variant in (theirs.COURSE, theirs.LEAN):
        packed, name = variant.packed(), theirs.NAMES[variant.name]
        size = "less" if packed["unpacked_bytes"] <= UNPACKED_BYTES_MAX else "more"
        said += f"""{name} would be {megabytes(packed["with_model_bytes"])} MB with its model ({megabytes(packed["model_bytes"])} MB)
            inside, {packed["with_model_bytes"] / ours.zip_bytes:.1f} times the {ours.name}; without it, it unpacks to
            {size} than the 250 MiB that AWS allows a zip. """
    return f"""Zips hold no model on either side: ours read champions from the store, the course's function reads its own from S3. {said}
        Python's zips hold what is installed, without pip and bytecode; its runs use the bytecode, which on Lambda is made anew at
        every cold start where the zip has none; and the interpreter, which Lambda brings, counts for nothing. All of that is to
        Python's advantage."""


def one_line(text: str) -> str:
    """Joins the lines of each paragraph and removes the indentation of this source; tables stay as they are."""
    if text.startswith("|"):
        return text
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def versions_of_theirs() -> dict[str, str]:
    site = next((theirs.COURSE.environment.venv / "lib").glob("python3.*")) / "site-packages"
    wanted = ("mlflow", "scikit-learn", "boto3", "awslambdaric")
    return {name: next(importlib.metadata.distributions(name=name, path=[str(site)])).version for name in wanted}


def processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def cores() -> int:
    return Path("/proc/cpuinfo").read_text().count("processor\t")


def system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def rustc() -> str:
    try:
        done = subprocess.run(["rustc", "--version"], cwd=PROJECT, capture_output=True, text=True)
    except FileNotFoundError:
        return "rustc of another machine"
    return done.stdout.strip()


def inside(folder: Path) -> str:
    """Returns the path without the location of this checkout."""
    resolved = folder.resolve()
    return str(resolved.relative_to(PROJECT)) if resolved.is_relative_to(PROJECT) else resolved.name


def spread(values: list[float], digits: int) -> str:
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"


def table(rows: list[list[str]]) -> str:
    header, *body = rows
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def check(out: Path) -> None:
    """Checks, before a quarter of an hour of measuring, that the file to write to exists."""
    if not out.is_file():
        raise Failure(f"there is no {out.name} to write the section to")


def write(out: Path, text: str) -> None:
    """Replaces the section between the marks, or appends it if there are no marks."""
    old, block = out.read_text(), f"{BEGIN}\n{text}\n{END}"
    new = PLACE.sub(lambda _: block, old) if PLACE.search(old) else f"{old.rstrip()}\n\n{block}\n"
    out.write_text(new)
