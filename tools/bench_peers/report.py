"""Renders results as Markdown tables and writes them between the marks of docs/BENCHMARKS.md."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from failure import Failure
from run import Outcome

BEGIN, END = "<!-- bench-peers:begin -->", "<!-- bench-peers:end -->"
HEADER = """# Benchmarks

Our trees compared with other libraries, each section on one machine, one after another. `make bench-peers` replaces what is between the
marks.

"""
TITLES = ("Accuracy", "Files", "Large files", "Scoring", "Single row", "Serving", "Training")
NOT_MEASURED = "-"


@dataclass
class Table:
    caption: str
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [f"#### {self.caption}", ""]
        if self.header:
            lines += [row_of(self.header), row_of(["---"] + ["--:"] * (len(self.header) - 1))]
            lines += [row_of(row + [NOT_MEASURED] * (len(self.header) - len(row))) for row in self.rows]
        return "\n".join(lines + self.notes)


@dataclass
class Section:
    title: str
    tables: list[Table]
    notes: list[str]

    def markdown(self) -> str:
        return "\n\n".join([f"### {self.title}", *self.notes, *(table.markdown() for table in self.tables)])


class Agreement:
    """Compares scores with those of LightGBM and with the actual values."""

    def __init__(self, reference: Path, actual: np.ndarray) -> None:
        self.reference = np.fromfile(reference, dtype="<f8") if reference.exists() else None
        self.actual = actual.astype(np.float64)

    def cells(self, scores: Path) -> list[str]:
        """Returns the greatest difference, the share of scores with equal bits, and the RMSE."""
        if not scores.exists():
            raise Failure("it wrote no scores")
        own = np.fromfile(scores, dtype="<f8")
        if len(own) != len(self.actual):
            raise Failure(f"it wrote {len(own)} scores for {len(self.actual)} rows")
        rmse = f"{np.sqrt(np.mean((own - self.actual) ** 2)):.5f}"
        # XGBoost scores another model, so the differences would say nothing about its scoring.
        if self.reference is None or scores.stem == "xgboost":
            return [NOT_MEASURED, NOT_MEASURED, rmse]
        equal = int(np.sum(own.view("<u8") == self.reference.view("<u8")))
        share = "all" if equal == len(own) else f"{equal:,} of {len(own):,}"
        furthest = np.max(np.abs(own - self.reference))
        return [f"{furthest:.1e}" if furthest else "0", share, rmse]


def failed(outcome: Outcome) -> list[str]:
    return [outcome.name, f"failed: {outcome.failure}"]


def spread(outcome: Outcome, key: str, digits: int) -> str:
    return between(outcome.median(key), outcome.values(key), digits)


def between(middle: float, values: list[float], digits: int) -> str:
    if len(values) == 1:
        return f"{middle:,.{digits}f}"
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def times(outcome: Outcome, ours: Outcome, key: str) -> str:
    """Returns the ratio to our own value."""
    if ours.failure or not ours.median(key):
        return NOT_MEASURED
    return f"{outcome.median(key) / ours.median(key):.2f}"


def row_of(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def check(out: Path) -> None:
    """Checks, before hours of measuring, that an existing file has the marks, so that no other file is overwritten."""
    if out.exists() and not block_of(out.read_text()):
        raise Failure(f"{out.name} has no place for the tables: put the lines {BEGIN} and {END} where they belong")


def block_of(text: str) -> re.Match | None:
    return re.search(f"{re.escape(BEGIN)}(.*){re.escape(END)}", text, re.DOTALL)


def write(out: Path, software: str, measured: dict[str, str]) -> None:
    """Replaces the sections that were measured. Others are kept only if they were measured with the same software."""
    old = out.read_text() if out.exists() else f"{HEADER}{BEGIN}\n{END}\n"
    found = block_of(old)
    sections = {**sections_of(found.group(1), software), **measured}
    body = "\n\n".join([software, *(sections[title] for title in TITLES if title in sections)])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f"{old[:found.start()]}{BEGIN}\n{body}\n{END}{old[found.end():]}")


def sections_of(block: str, software: str) -> dict[str, str]:
    first, *others = [part.strip() for part in re.split(r"^(?=### )", block, flags=re.MULTILINE) if part.strip()] or [""]
    if first != software:
        return {}
    return {part.splitlines()[0].removeprefix("### "): part for part in others}
