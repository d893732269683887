"""Reads the account's quota of functions that run at once, and says whether a stage fits into it. It changes nothing.

    python3 tools/deploy/preflight.py --stage prod       (by `make preflight STAGE=prod`)

A new account runs ten functions at once. A trigger that may run more scorers than are free has its batches throttled, and each receive of a
throttled message brings it nearer to the dead-letter queue (docs/COST.md).
"""

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "infra"))

from lint import TOOLS  # noqa: E402
from python_environment import Failure  # noqa: E402
from sam import STAGES, overrides  # noqa: E402

# What runs beside the scorers at most: a backfill, a retraining by the state machine, one file, the monitor, and some requests.
BESIDE = {"files of a backfill": 5, "fits of a retraining": 4, "other functions": 3}
# AWS keeps so many that are reserved by no function.
UNRESERVED_MIN = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=sorted(STAGES), required=True)
    parser.add_argument("--architecture", default="arm64", help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        TOOLS.ensure()
        TOOLS.reenter()
        # Its alarms are another question.
        os.environ.setdefault("ALARMS_ELSEWHERE", "yes")
        values = dict(one.split("=", 1) for one in overrides(args))
        limit = limits()
    except Failure as failure:
        print(f"preflight: {failure}", file=sys.stderr)
        return 1
    scorers = int(values["ScorerConcurrencyMax"].strip('"'))
    reserved = int(values["ScorerReservedConcurrency"].strip('"') or 0)
    all_at_once, free = limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]
    print(f"the account runs {all_at_once} functions at once, of which {free} are reserved by none")
    print(f"{args.stage}: {scorers} scorers, " + ", ".join(f"{n} {what}" for what, n in BESIDE.items()))
    needed = (0 if reserved else scorers) + sum(BESIDE.values())
    wrong = []
    if reserved and free - reserved < UNRESERVED_MIN:
        wrong.append(f"ScorerReservedConcurrency={reserved} leaves fewer than {UNRESERVED_MIN} unreserved, which AWS refuses")
    if reserved and scorers > reserved:
        wrong.append(f"ScorerConcurrencyMax={scorers} is more than the {reserved} that are reserved for scorers")
    if not reserved and scorers > free:
        wrong.append(f"ScorerConcurrencyMax={scorers} is more than the account has: ask for a larger quota (Service Quotas, \"Concurrent "
                     f"executions\"), or lower it to {max(2, free // 2)}")
    for one in wrong:
        print(f"preflight: {one}", file=sys.stderr)
    if not wrong:
        print("it fits" if needed <= free else f"it fits, but not all at once ({needed}): files and fits then wait their turn")
    return 1 if wrong else 0


def limits() -> dict[str, int]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        # boto3 does not read AWS_REGION.
        client = boto3.client("lambda", region_name=os.environ.get("AWS_REGION") or None)
        return client.get_account_settings()["AccountLimit"]
    except (BotoCoreError, ClientError, ValueError) as error:
        raise Failure(f"the account's limits cannot be read: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
