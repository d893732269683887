"""Defines the suites: which libraries are measured on which data with which settings, and the resulting tables."""

from dataclasses import dataclass
from pathlib import Path

import data
import models
import report
import run
from environment import HERE, PYTHON, STATE
from failure import Failure
from report import Section, Table
from run import Job, Outcome

OURS = "trees (ours)"
TREES, LEAVES, RATE = 100, 31, 0.1
TEST_MONTH = "2024-01"
MONTHS = [f"2023-{month:02}" for month in range(1, 13)]
TRAINERS = {"LightGBM": "lightgbm", "XGBoost hist": "xgboost", "scikit-learn HistGradientBoosting": "scikit-learn"}
KERNELS = ("auto", "portable", "walk")
# Our passes are short, so the median of several is taken.
OUR_PASSES = 15
SCORERS = {
    "LightGBM": "lightgbm", "XGBoost (a model of its own)": "xgboost", "ONNX Runtime": "onnxruntime",
    "treelite GTIL": "treelite-gtil", "tl2cgen, gcc -O3": "tl2cgen", "lleaves": "lleaves",
}
SINGLE_ROWS = 20_000


@dataclass(frozen=True)
class Plan:
    """Our benchmark program, the number of repeats, and the size of the data."""

    ours: Path
    repeats: int
    rows: int
    quick: bool


def training(plan: Plan) -> Section:
    pair, large = data.made_up(plan.rows), data.made_up(3 * plan.rows)
    rows = data.short(plan.rows)
    tables = learn(plan, pair, "squared", f"Generated trips, {rows} rows, squared error (minutes)", large)
    tables += learn(plan, pair, "logistic", f"Generated trips, {rows} rows, logistic (tipped or not)")
    months = MONTHS[-1:] if plan.quick else MONTHS
    for objective, about in (("squared", "squared error (minutes)"), ("logistic", "logistic (tipped or not), card trips")):
        caption = f"Real green trips, {months[0]} to {months[-1]}, {about}"
        try:
            of_months = data.of_months(months, TEST_MONTH, card_only=objective == "logistic")
        except Failure as failure:
            tables.append(Table(caption, notes=[f"Skipped: {failure}."]))
            continue
        tables += learn(plan, of_months, objective, f"{caption}, {of_months.train.rows():,} rows")
    notes = [
        f"{TREES} trees of {LEAVES} leaves at rate {RATE}, at most 255 bins, at least 20 rows a leaf, one thread; from the f32 "
        "matrix to the model, so binning counts and reading files does not. CPU seconds of the process, the median of "
        f"{plan.repeats} (from the least to the most); the error is the one on the test set. LightGBM works column by column, its "
        "faster way here; XGBoost bounds leaves by hessians, 20 or 5, for want of a bound on rows. Memory is the process's peak, "
        "for the peers with Python and its libraries in it, and by how much training raised it above the data already read.",
    ]
    return Section("Training", tables, notes)


def learn(plan: Plan, pair: data.Pair, objective: str, caption: str, large: data.Pair | None = None) -> list[Table]:
    """Returns a table of all trainers and, if `large` is given, one of how our cost grows with threads and rows."""
    jobs = [Job(OURS, our_training(plan, pair, objective, 1))]
    jobs += [Job(name, peer_training(rival, pair, objective)) for name, rival in TRAINERS.items()]
    growing = []
    if large is not None:
        alone = "this machine has one core" if len(run.cores()) < 2 else None
        growing = [
            Job("2 threads", our_training(plan, pair, objective, 2), threads=2, impossible=alone),
            Job("3 times the rows", our_training(plan, large, objective, 1)),
        ]
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


def our_training(plan: Plan, pair: data.Pair, objective: str, threads: int) -> list[str | Path]:
    return [plan.ours, "train", *files(pair, objective), "--features", str(data.FEATURES),
            *settings(objective, TREES), "--threads", str(threads)]


def peer_training(rival: str, pair: data.Pair, objective: str) -> list[str | Path]:
    return [PYTHON, HERE / "train_peer.py", rival, *files(pair, objective), *settings(objective, TREES)]


def files(pair: data.Pair, objective: str) -> list[str | Path]:
    train, test = pair.train, pair.test
    return ["--x", train.x, "--y", train.target(objective), "--test-x", test.x, "--test-y", test.target(objective)]


def settings(objective: str, trees: int) -> list[str]:
    return ["--objective", objective, "--rounds", str(trees), "--leaves", str(LEAVES), "--learning-rate", str(RATE)]


def training_row(outcome: Outcome, ours: Outcome) -> list[str]:
    if outcome.failure:
        return report.failed(outcome)
    added = [run["rss_peak_mb"] - run["rss_before_mb"] for run in outcome.runs]
    return [
        outcome.name, report.spread(outcome, "cpu_s", 2), report.times(outcome, ours, "cpu_s"),
        f"{outcome.median('error'):.5f}", f"{outcome.median('rss_peak_mb'):.0f}", f"{report.median(added):.0f}",
    ]


def growth_row(outcome: Outcome, ours: Outcome) -> list[str]:
    if outcome.failure:
        return report.failed(outcome)
    return [
        outcome.name if outcome is not ours else "1 thread", report.spread(outcome, "cpu_s", 2),
        report.spread(outcome, "wall_s", 2), report.times(outcome, ours, "cpu_s"),
        report.times(outcome, ours, "wall_s"), f"{outcome.median('rss_peak_mb'):.0f}",
    ]


def scoring(plan: Plan) -> Section:
    pair = data.made_up(plan.rows)
    made = models.ensure(pair, data.short(plan.rows))
    out = STATE / "scores"
    out.mkdir(exist_ok=True)
    for old in out.glob("*.f64"):
        old.unlink()
    jobs = [Job(f"{OURS}, {kernel}", [
        plan.ours, "score", "--model", made.text, "--x", pair.test.x, "--features", str(data.FEATURES), "--kernel", kernel,
        "--repeats", str(OUR_PASSES), "--out", out / f"ours-{kernel}.f64",
    ]) for kernel in KERNELS]
    jobs += [Job(name, [
        PYTHON, HERE / "score_peer.py", "score", rival, "--folder", made.folder, "--x", pair.test.x,
        "--out", out / f"{rival}.f64",
    ], impossible=made.failures.get(rival)) for name, rival in SCORERS.items()]
    kept = [f"ours-{kernel}" for kernel in KERNELS] + list(SCORERS.values())
    outcomes = run.in_turn(jobs, plan.repeats, "scoring")
    agreed = report.Agreement(out / "lightgbm.f64", data.read_column(pair.test.minutes))
    rows = [scoring_row(outcome, outcomes[0], agreed, out / f"{name}.f64") for outcome, name in zip(outcomes, kept)]
    header = ["", "rows a second", "time to ours", "off LightGBM at most", "equal to LightGBM's bits", "RMSE", "ms to load"]
    caption = f"{models.TREES} trees of {LEAVES} leaves, {pair.test.rows():,} rows at once"
    notes = [
        f"One LightGBM model, trained on the generated {data.short(plan.rows)} rows, read by all but XGBoost, which cannot; raw "
        f"scores from a row-major f32 matrix, one thread. Rows by CPU seconds of a pass, the median of {plan.repeats} "
        "(from the least to the most), each the median pass of a process. `auto` is what ours chooses by itself.",
        *made.notes(),
    ]
    return Section("Scoring", [Table(caption, header, rows)], notes)


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


def single(plan: Plan) -> Section:
    pair = data.made_up(plan.rows)
    made = models.ensure(pair, data.short(plan.rows))
    rows = data.first_rows(pair.test, SINGLE_ROWS)
    program, library, failure = models.single_row_program()
    jobs = [
        Job(OURS, [plan.ours, "single", "--model", made.text, "--x", rows, "--features", str(data.FEATURES)]),
        Job("LightGBM's C API, fast single row", [program, library, made.text, rows, str(data.FEATURES)], impossible=failure),
    ]
    outcomes = run.in_turn(jobs, plan.repeats, "single row")
    table = Table(f"{models.TREES} trees of {LEAVES} leaves, one row a call", ["", "ns a row", "time to ours"], [
        report.failed(outcome) if outcome.failure else [
            outcome.name, report.spread(outcome, "ns_per_row", 0), report.times(outcome, outcomes[0], "ns_per_row"),
        ] for outcome in outcomes
    ])
    notes = [
        f"The same model, {SINGLE_ROWS:,} rows one after another through calls set up beforehand, from Rust and from C: no "
        f"Python. CPU time, the median of {plan.repeats} (from the least to the most).",
    ]
    return Section("Single row", [table], notes)


SUITES = {"training": training, "scoring": scoring, "single": single}
