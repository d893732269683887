#!/usr/bin/env python3
"""Learns from 24 generated months of 1,666,667 trips, 40 million, and says what that took. It fails above 4 GiB.

Every month is read whole, checked and drawn from: 4 GiB hold eight million rows, and of 40 million an eighth is learned from.

    python3 tools/train_large.py          (by `make train-large`, which builds `tripcast` first)

The files, 1 GB, lie below target/train-large while it runs.
"""

import json
import resource
import shutil
import sys

from product import expect, tripcast
from python_environment import PROJECT, Failure

STATE = PROJECT / "target" / "train-large"
TRAINING = [f"{year}-{month:02}" for year in (2022, 2023) for month in range(1, 13)]
HOLDOUT, NOW = "2024-01", "2024-02-15"
ROWS_LEARNED_MAX = 8_000_000
ROWS_A_MONTH = 1_666_667
MEMORY_MAX = 4 << 30


def main() -> int:
    shutil.rmtree(STATE, ignore_errors=True)
    try:
        for month in [*TRAINING, HOLDOUT]:
            print(f"train large: generating {month}", file=sys.stderr, flush=True)
            tripcast("data", "generate", "--month", month, "--rows", str(ROWS_A_MONTH), "--to", STATE / "data" / "history")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = json.loads(tripcast(
            "retrain", "--json", "--data", STATE / "data", "--models", STATE / "models", "--now", NOW, "--windows", str(len(TRAINING)),
            "--trials", "0", "--target", "duration", "--rows-max", str(ROWS_LEARNED_MAX),
        ))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        read = sum(month["rows"] for month in run["data"] if month["month"] != HOLDOUT)
        expect(read >= 40_000_000, f"{read:,} rows were read to learn from: {run['left_out']}")
        share = run.get("share", 1)
        expect(share * read * 2 > ROWS_LEARNED_MAX, f"a share of {share} was learned from")
        peak, cpu = run["memory_peak_bytes"], after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        expect(peak < MEMORY_MAX, f"it took {peak / 1e9:.2f} GB")
        print(f"train large: {read:,} rows of {len(TRAINING)} months, a share of {share:.4f} learned from: {peak / 1e9:.2f} GB at "
              f"the peak, {cpu:.0f} s of processor time, {run['seconds']:.0f} s")
    except Failure as failure:
        print(f"train large: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(STATE, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
