"""Runs the queries of docs/SQL.md with DuckDB, on predictions and figures that the product has just written.

    python3 tools/sql/check.py            (by `make test-sql`, which builds `tripcast` first)

Seven months are generated, predicted by two bundles and judged. Every query has to answer with rows, and what a query
says of the error and of the intervals has to be what the summaries say.
"""

import json
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from product import tripcast  # noqa: E402
from python_environment import PROJECT, Environment, Failure  # noqa: E402

STATE = PROJECT / "target" / "sql"
OURS = Environment(STATE, HERE / "requirements.lock", "DuckDB (about 60 MB on disk)")
PAGE = PROJECT / "docs" / "SQL.md"
BLOCK = re.compile(r"^```sql( views)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MONTHS = [f"2023-{month:02}" for month in range(1, 8)]
ROWS_A_MONTH = 20_000
# The queries of the page give figures to about this many digits.
RELATIVE_ERROR_MAX = 1e-9


def main() -> int:
    OURS.ensure()
    OURS.reenter()
    try:
        store, bundles = predicted()
        check(store, bundles)
    except Failure as failure:
        print(f"sql: {failure}", file=sys.stderr)
        return 1
    return 0


def predicted() -> tuple[Path, list[str]]:
    """Returns a store with the predictions of two bundles and a monitor's figures, and the bundles."""
    work = STATE / "work"
    shutil.rmtree(work, ignore_errors=True)
    store, models = work / "store", work / "models"
    months = [argument for month in MONTHS for argument in ("--month", month)]
    tripcast("data", "generate", *months, "--rows", str(ROWS_A_MONTH), "--to", str(store / "incoming"))
    both = ["--data", str(store), "--models", str(models)]
    run = json.loads(tripcast("--json", "retrain", *both, "--now", "2023-04-15", "--windows", "1", "--trials", "0", "--target", "duration"))
    champion, *others = sorted((one["version"] for one in run["targets"][0]["decision"]["challengers"]),
                               key=lambda version: version != run["targets"][0]["version"])
    if not others:
        raise Failure("the retraining published one model; expected one of each family")
    for number, version in enumerate([champion, others[0]]):
        if number > 0:
            tripcast("registry", "promote", "--store", str(models), "--target", "duration", "--version", version)
        tripcast("backfill", *both)
    tripcast("monitor", "run", *both, "--day", f"{MONTHS[-1]}-29")
    return store, [folder.name.removeprefix("bundle=") for folder in sorted((store / "predictions").iterdir())]


def check(store: Path, bundles: list[str]) -> None:
    import duckdb

    connection = duckdb.connect()
    blocks = [(bool(views), code) for views, code in BLOCK.findall(PAGE.read_text())]
    names = {"<store>": str(store), "<bundle>": bundles[0], "<other bundle>": bundles[1]}
    for is_views, code in blocks:
        for name, value in names.items():
            code = code.replace(name, value)
        answer = connection.execute(code)
        if is_views:
            continue
        columns, rows = [column[0] for column in answer.description], answer.fetchall()
        if not rows:
            raise Failure(f"no rows for the query\n{code}")
        print(f"sql: {len(rows):>4} rows: {', '.join(columns)}")
    for month in MONTHS:
        compare(connection, store, bundles[0], month)
    print(f"sql: {sum(not views for views, _ in blocks)} queries of {PAGE.name} answered; errors and coverage of {len(MONTHS)} months are "
          "those of the summaries, and pickups those of the trips")


def compare(connection, store: Path, bundle: str, month: str) -> None:
    """Compares the month's figures by SQL with those of its summary, and every ride's pickup with that of its row in the file of trips."""
    file = f"green_tripdata_{month}.parquet"
    path = store / "summaries" / f"bundle={bundle}" / f"month={month}" / f"{file}.json"
    metrics = json.loads(path.read_text())["metrics"]["duration"]
    rows, rmse, coverage = connection.execute(
        "select count(*), sqrt(avg(diff * diff)), avg(case when actual_duration between lower and upper then 1.0 else 0.0 end) "
        "from predictions where bundle = ? and month = ? and actual_duration between 1 and 60",
        [bundle, month],
    ).fetchone()
    for name, found, stated in (("rows", rows, metrics["rows"]), ("rmse", rmse, metrics["rmse"]), ("coverage", coverage, metrics["coverage"])):
        if abs(found - stated) > RELATIVE_ERROR_MAX * abs(stated):
            raise Failure(f"{month}: {name} is {found} by SQL and {stated} in {path}")
    rides, other = connection.execute(
        "select count(*), count(*) filter (predicted.pickup_datetime is distinct from trips.lpep_pickup_datetime) from predictions as predicted "
        "join read_parquet(?, file_row_number = true) as trips on predicted.ride_id = ? || trips.file_row_number "
        "where predicted.bundle = ? and predicted.month = ?",
        [str(store / "incoming" / file), f"{month.replace('-', '/')}_", bundle, month],
    ).fetchone()
    if other or not rides:
        raise Failure(f"{month}: {other} of {rides} pickups are not those of the trips")


if __name__ == "__main__":
    sys.exit(main())
