"""Defines the suites: which libraries are measured on which data with which settings, and the resulting tables."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import champions
import data
import models
import report
import run
import shape
import web
from environment import HERE, PYTHON, STATE
from failure import Failure
from report import Section, Table
from run import Job, Outcome

OURS = "trees (ours)"
MONTHS = [f"2023-{month:02}" for month in range(1, 13)]
# Months are published late: the one after those learned from is not known when a model of them starts to serve.
TEST_MONTHS = ["2024-02"]
TRAINERS = {"LightGBM": "lightgbm", "XGBoost hist": "xgboost", "scikit-learn HistGradientBoosting": "scikit-learn"}
KERNELS = ("auto", "avx2", "portable", "walk")
# Our passes are short, so the median of several is taken.
OUR_PASSES = 15
SCORERS = {
    "LightGBM": "lightgbm", "XGBoost (a model of its own)": "xgboost", "ONNX Runtime": "onnxruntime",
    "treelite GTIL": "treelite-gtil", "tl2cgen, gcc -O3": "tl2cgen", "lleaves": "lleaves",
}
SINGLE_ROWS = 20_000
# One month to learn from, and the two that follow.
ACCURACY = [("2021-01", "2021-02", "2021-03"), ("2022-01", "2022-02", "2022-03"), ("2023-01", "2023-02", "2023-03"),
            ("2024-01", "2024-02", "2024-03")]
# The months of the file that is predicted: a million trips.
FILE_MONTHS = [*MONTHS, "2024-01", "2024-02", "2024-03", "2024-04", "2024-05", "2024-06"]
FILE_ROWS = 1_000_000
ROW_GROUP = 131_072
OUR_FILES = "tripcast predict (ours)"
FILE_THREADS = (1, 2)
FILE_PEERS = {"pandas": "pandas", "polars": "polars", "DuckDB": "duckdb"}
LARGE = "files-20m"
# A file so large that memory that grows with it shows: so many times the rows of the plan.
LARGE_FILE = 20


@dataclass(frozen=True)
class Plan:
    """Where our programs are, the number of repeats, and the size of the data."""

    programs: Path
    repeats: int
    rows: int
    quick: bool

    @property
    def bench(self) -> Path:
        return self.programs / "examples" / "bench"

    @property
    def served(self) -> Path:
        return self.programs / "examples" / "served"

    @property
    def tripcast(self) -> Path:
        return self.programs / "tripcast"

    @property
    def months(self) -> list[str]:
        return MONTHS[-1:] if self.quick else MONTHS


def training(plan: Plan) -> Section:
    pair, large = data.made_up(plan.rows), data.made_up(3 * plan.rows)
    rows, small, served = data.short(plan.rows), shape.SMALL_FIT, shape.SERVED_FIT
    tables = learn(plan, pair, small, "squared", f"Generated trips, {rows} rows, squared error (minutes), {small}", large)
    tables += learn(plan, pair, small, "logistic", f"Generated trips, {rows} rows, logistic (tipped or not), {small}")
    for objective, about in (("squared", "squared error (minutes)"), ("logistic", "logistic (tipped or not), card trips")):
        caption = f"Real green trips, {plan.months[0]} to {plan.months[-1]}, {about}, {served}"
        try:
            of_months = data.of_months(plan.served, plan.months, TEST_MONTHS, objective)
        except Failure as failure:
            tables.append(Table(caption, notes=[f"Skipped: {failure}."]))
            continue
        tables += learn(plan, of_months, served, objective, f"{caption}, {of_months.train.rows():,} rows", of_months)
    notes = [
        f"Rate {small.rate}, at most 255 bins, at least 20 rows a leaf, one thread; from the f32 "
        "matrix to the model, so binning counts and reading files does not. Real trips have all features of the product, "
        f"{data.SERVED_FEATURES}, of which each split chooses from half, as there. CPU seconds of the process, the median of "
        f"{plan.repeats} (from the least to the most). Each run draws by a seed of its own, the same for all; the error on the test set is the "
        "mean of the runs. LightGBM works column by column, its "
        "faster way here; XGBoost bounds leaves by hessians, 20 or 5, for want of a bound on rows. Memory is the process's peak, "
        "for the peers with Python and its libraries in it, and by how much training raised it above the data already read.",
    ]
    return Section("Training", tables, notes)


def learn(plan: Plan, pair: data.Pair, of: shape.Shape, objective: str, caption: str, large: data.Pair | None = None) -> list[Table]:
    """Returns a table of all trainers and, if `large` is given, one of how our cost grows with threads and rows."""
    def ours(pair: data.Pair, threads: int) -> list[str | Path]:
        return [plan.bench, "train", *pair.files(objective), *of.settings(objective), "--threads", str(threads)]

    def peer(rival: str) -> list[str | Path]:
        return [PYTHON, HERE / "train_peer.py", rival, *pair.files(objective), *of.settings(objective)]

    jobs = [Job(OURS, ours(pair, 1), seeded=True)] + [Job(name, peer(rival), seeded=True) for name, rival in TRAINERS.items()]
    growing = []
    if large is not None:
        alone = "this machine has one core" if len(run.cores()) < 2 else None
        growing = [Job("2 threads", ours(pair, 2), threads=2, seeded=True, impossible=alone)]
        if large is not pair:
            growing.append(Job("3 times the rows", ours(large, 1), seeded=True))
    outcomes = run.in_turn(jobs + growing, plan.repeats, caption)
    compared, grown = outcomes[:len(jobs)], outcomes[len(jobs):]
    error = "RMSE" if objective == "squared" else "log-loss"
    tables = [Table(caption, ["", "CPU s", "to ours", error, "peak MB", "by training MB"], [
        training_row(outcome, compared[0]) for outcome in compared
    ])]
    if grown:
        tables.append(Table(f"{caption}: how ours grows", ["", "CPU s", "wall s", "CPU, times", "wall, times", "peak MB"], [
            growth_row(outcome, compared[0]) for outcome in [compared[0], *grown]
        ]))
    return tables


def training_row(outcome: Outcome, ours: Outcome) -> list[str]:
    if outcome.failure:
        return report.failed(outcome)
    added = [run["rss_peak_mb"] - run["rss_before_mb"] for run in outcome.runs]
    return [
        outcome.name, report.spread(outcome, "cpu_s", 2), report.times(outcome, ours, "cpu_s"),
        report.between(outcome.mean('error'), outcome.values('error'), 4), f"{outcome.median('rss_peak_mb'):.0f}", f"{report.median(added):.0f}",
    ]


def growth_row(outcome: Outcome, ours: Outcome) -> list[str]:
    if outcome.failure:
        return report.failed(outcome)
    return [
        outcome.name if outcome is not ours else "1 thread", report.spread(outcome, "cpu_s", 2),
        report.spread(outcome, "wall_s", 2), report.times(outcome, ours, "cpu_s"),
        report.times(outcome, ours, "wall_s"), f"{outcome.median('rss_peak_mb'):.0f}",
    ]


def accuracy(plan: Plan) -> Section:
    """Compares the product's own training, after one month, with LightGBM as it comes on the same raw inputs."""
    rows = []
    for months in ACCURACY[-1:] if plan.quick else ACCURACY:
        try:
            train, *later = [data.file_of(month) for month in months]
            pairs = [data.of_months(plan.served, [months[0]], [month], "squared") for month in months[1:]]
        except Failure as failure:
            rows.append([f"{months[0]}", f"skipped: {failure}"])
            continue
        ours, failure = run.answer_of(Job(OURS, [
            plan.tripcast, "train", "--json", "--target", "duration", "--family", "boosted", "--rules", "course", "--seed", "1",
            "--train", train, "--validate", later[0], "--test", later[1],
        ], threads=len(run.cores())))
        peers = [run.answer_of(Job("LightGBM", [
            PYTHON, HERE / "train_peer.py", "lightgbm", *pair.files("squared"), *shape.UNTUNED.settings("squared"),
            "--columns", str(data.RAW_FEATURES),
        ])) for pair in pairs]
        if failure := failure or next((failure for _, failure in peers if failure), None):
            raise Failure(f"training on {months[0]}: {failure}")
        for month, own, (peer, _) in zip(months[1:], (ours["validate"], ours["test"]), peers):
            own, peer = own["rmse"], peer["error"]
            rows.append([f"{months[0]}, judged on {month}", f"{own:.3f}", f"{peer:.3f}", f"{100 * (own / peer - 1):+.1f} %"])
            run.say(f"accuracy: {', '.join(rows[-1])}")
    notes = [
        "RMSE in minutes on trips of 1 to 60 minutes of the two months after the one that was learned from. Ours is `tripcast train "
        f"--family boosted --rules course --seed 1`. LightGBM learns from the same rows: {shape.UNTUNED} at rate {shape.UNTUNED.rate}, "
        f"from the {data.RAW_FEATURES} features that a file states or that follow from its zones (numbers, distance, time, codes, "
        "centroids and the straight way between them).",
    ]
    return Section("Accuracy", [Table("Durations, one month", ["", "ours", "LightGBM, untuned", "difference"], rows)], notes)


def scoring(plan: Plan) -> Section:
    pairs = [(data.made_up(plan.rows), shape.SMALL, f"trained on the generated {data.short(plan.rows)} rows")]
    try:
        of_months = data.of_months(plan.served, plan.months, TEST_MONTHS, "squared")
        pairs.append((of_months, shape.SERVED, f"trained on real trips, {plan.months[0]} to {plan.months[-1]}"))
    except Failure as failure:
        run.say(f"scoring of real trips is skipped: {failure}")
    tables, notes = [], [
        "One LightGBM model for each table, read by all but XGBoost, which cannot; raw "
        f"scores from a row-major f32 matrix, one thread. Rows by CPU seconds of a pass, the median of {plan.repeats} "
        "(from the least to the most), each the median pass of a process. `auto` is what ours chooses by itself, with AVX-512 where there is; `avx2` does without, as on AWS Lambda. The second model "
        "has the size and the features of a champion of twelve months.",
    ]
    for pair, of, about in pairs:
        made = models.ensure(pair, of)
        tables.append(score(plan, pair, made, f"{of}, {about}, {pair.test.rows():,} rows at once"))
        notes += made.notes(str(of))
    return Section("Scoring", tables, notes)


def score(plan: Plan, pair: data.Pair, made: models.Models, caption: str) -> Table:
    out = STATE / "scores"
    out.mkdir(exist_ok=True)
    for old in out.glob("*.f64"):
        old.unlink()
    rows = ["--x", pair.test.x, "--features", str(pair.test.features)]
    jobs = [Job(f"{OURS}, {kernel}", [
        plan.bench, "score", "--model", made.text, *rows, "--kernel", kernel, "--repeats", str(OUR_PASSES),
        "--out", out / f"ours-{kernel}.f64",
    ]) for kernel in KERNELS]
    jobs += [Job(name, [
        PYTHON, HERE / "score_peer.py", "score", rival, "--folder", made.folder, *rows, "--out", out / f"{rival}.f64",
    ], impossible=made.failures.get(rival)) for name, rival in SCORERS.items()]
    kept = [f"ours-{kernel}" for kernel in KERNELS] + list(SCORERS.values())
    outcomes = run.in_turn(jobs, plan.repeats, "scoring")
    agreed = report.Agreement(out / "lightgbm.f64", data.read_column(pair.test.minutes))
    header = ["", "rows a second", "time to ours", "off LightGBM at most", "equal to LightGBM's bits", "RMSE", "ms to load"]
    return Table(caption, header, [
        scoring_row(outcome, outcomes[0], agreed, out / f"{name}.f64") for outcome, name in zip(outcomes, kept)
    ])


def scoring_row(outcome: Outcome, ours: Outcome, agreed: "report.Agreement", scores: Path) -> list[str]:
    if outcome.failure:
        return report.failed(outcome)
    try:
        agreement = agreed.cells(scores)
    except Failure as failure:
        return report.failed(Outcome(outcome.name, failure=str(failure)))
    for each in outcome.runs:
        each["us_per_row"] = each["cpu_s"] / each["rows"] * 1e6
    per_second = sorted(1e6 / each for each in outcome.values("us_per_row"))
    return [
        outcome.name, report.between(report.median(per_second), per_second, 0), report.times(outcome, ours, "us_per_row"),
        *agreement, f"{outcome.median('load_ms'):.1f}",
    ]


def file_of_a_million() -> Path:
    """Joins real months to one file."""
    import pyarrow
    from pyarrow import parquet

    file = STATE / "data" / f"trips-{data.short(FILE_ROWS)}.parquet"
    if not file.exists():
        months = [parquet.read_table(data.file_of(month)) for month in FILE_MONTHS]
        file.parent.mkdir(parents=True, exist_ok=True)
        trips = pyarrow.concat_tables(months, promote_options="permissive")[:FILE_ROWS]
        parquet.write_table(trips, file, row_group_size=ROW_GROUP, compression="zstd")
    return file


def files(plan: Plan) -> Section:
    caption = f"{data.short(FILE_ROWS)} real trips, the champions of {len(plan.months)} months"
    try:
        pair = str(champions.promoted(plan))
    except Failure as failure:
        return Section("Files", [Table(caption, notes=[f"Skipped: {failure}."])], [])
    notes = [
        "From one Parquet file to another: reading, features, durations and tip probabilities, writing; ours also states intervals and "
        f"rejections. The pair is what `tripcast retrain --windows {len(plan.months)}` promotes, learned from {plan.months[0]} to "
        f"{plan.months[-1]}: {pair} at most. LightGBM has as many trees and leaves, but only the ten cheapest features, and loading Python's "
        f"libraries does not count. pandas and polars hold the whole file in memory; ours and DuckDB {duckdb_version()} read, predict and "
        f"write it in batches. CPU time, wall time and the process's peak memory, each beside ours on as many threads; the median of "
        f"{plan.repeats} (from the least to the most).",
    ]
    return Section("Files", [file_table(plan, caption, file_of_a_million, FILE_PEERS, FILE_THREADS)], notes)


def large_files(plan: Plan) -> Section:
    rows = LARGE_FILE * plan.rows
    caption = f"{data.short(rows)} generated trips, the champions of {len(plan.months)} months"
    notes = [
        f"As under Files, with the same models, for a file of `tripcast data generate --rows {rows}`: it shows whether memory grows with "
        f"the file. The other libraries are those of Files, DuckDB {duckdb_version()}, on two cores. Runs of each: {plan.repeats}. `make "
        "bench-large` repeats it.",
    ]
    made = file_table(plan, caption, lambda: data.generated_trips(plan.tripcast, rows), FILE_PEERS, FILE_THREADS[-1:])
    return Section("Large files", [made], notes)


def duckdb_version() -> str:
    """Returns the version for the notes; in the table of software it would discard the sections measured without DuckDB."""
    return importlib.metadata.version("duckdb")


def file_table(plan: Plan, caption: str, file: Callable[[], Path], peers: dict[str, str], peer_threads: tuple[int, ...]) -> Table:
    try:
        jobs = file_jobs(plan, file(), peers, peer_threads)
        outcomes = run.in_turn(jobs, plan.repeats, caption)
    except Failure as failure:
        return Table(caption, notes=[f"Skipped: {failure}."])
    ours = {job.threads: outcome for job, outcome in zip(jobs, outcomes) if job.name == OUR_FILES}
    return Table(caption, ["", "threads", "CPU s", "to ours", "wall s", "to ours", "peak MB", "to ours"], [
        report.failed(outcome) if outcome.failure else [
            outcome.name, str(job.threads),
            report.spread(outcome, "cpu_s", 2), report.times(outcome, ours[job.threads], "cpu_s"),
            report.spread(outcome, "wall_s", 2), report.times(outcome, ours[job.threads], "wall_s"),
            f"{outcome.median('rss_peak_mb'):,.0f}", report.times(outcome, ours[job.threads], "rss_peak_mb"),
        ] for job, outcome in zip(jobs, outcomes)
    ])


def file_jobs(plan: Plan, trips: Path, peers: dict[str, str], peer_threads: tuple[int, ...]) -> list[Job]:
    ours, out = champions.promoted(plan).files, STATE / "predicted.parquet"

    def job(name: str, threads: int, command: list[str | Path]) -> Job:
        return Job(name, command, threads, impossible="this machine has one core" if threads > len(run.cores()) else None)

    jobs = [job(OUR_FILES, threads, [
        PYTHON, HERE / "measure.py", plan.tripcast, "predict", "--model", ours["duration"], "--tip-model", ours["tip"],
        "--input", trips, "--output", out, "--threads", str(threads),
    ]) for threads in FILE_THREADS]
    # They take as many threads as they have cores.
    return jobs + [job(f"{name} and LightGBM", threads, [
        PYTHON, HERE / "file_peer.py", "predict", reader, "--file", trips, "--folder", champions.of_lightgbm(plan), "--out", out,
    ]) for threads in peer_threads for name, reader in peers.items()]


def single(plan: Plan) -> Section:
    pair = data.made_up(plan.rows)
    made = models.ensure(pair, shape.SMALL)
    rows = data.first_rows(pair.test, SINGLE_ROWS)
    program, library, failure = models.single_row_program()
    jobs = [
        Job(OURS, [plan.bench, "single", "--model", made.text, "--x", rows]),
        Job("LightGBM's C API, fast single row", [program, library, made.text, rows, str(data.FEATURES)], impossible=failure),
    ]
    outcomes = run.in_turn(jobs, plan.repeats, "single row")
    tables = [Table(f"{shape.SMALL}, one row a call", ["", "ns a row", "time to ours"], [
        report.failed(outcome) if outcome.failure else [
            outcome.name, report.spread(outcome, "ns_per_row", 0), report.times(outcome, outcomes[0], "ns_per_row"),
        ] for outcome in outcomes
    ])]
    try:
        pair = champions.promoted(plan)
        caption = f"A trip through the champions of {len(plan.months)} months, {pair} at most: features, duration, interval and tip"
        served = run.in_turn([Job("scorer's call (ours)", [
            plan.served, "single", "--duration", pair.files["duration"], "--tip", pair.files["tip"], "--months", data.file_of(TEST_MONTHS[0]),
        ])], plan.repeats, "single row")[0]
        tables.append(Table(caption, ["", "ns a row", "ms from the files' bytes to a first answer"], [
            report.failed(served) if served.failure else [served.name, report.spread(served, "ns_per_row", 0), report.spread(served, "load_ms", 1)],
        ]))
    except Failure as failure:
        tables.append(Table("A trip through the champions", notes=[f"Skipped: {failure}."]))
    notes = [
        f"The model of the first table under Scoring, {SINGLE_ROWS:,} rows one after another through calls set up beforehand, from Rust "
        f"and from C: no Python. The median of {plan.repeats} (from the least to the most).",
    ]
    return Section("Single row", tables, notes)


SUITES = {
    "training": training, "accuracy": accuracy, "scoring": scoring, "files": files, LARGE: large_files, "single": single,
    "web": web.web,
}
