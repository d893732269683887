#!/usr/bin/env python3
"""Makes the fixtures of the importers: small models of each library, and golden rows with its predictions.

It makes the fixtures of the installed versions, so it has to run twice, in two environments:

    python3 make_fixtures.py    with requirements.lock:       LightGBM 4, XGBoost 3, scikit-learn
    python3 make_fixtures.py    with requirements-older.lock: LightGBM 3, XGBoost 2

Seeds and versions are fixed, so the same environment writes the same files again. The data is synthetic (synthetic.py).
"""

import argparse
import sys
from pathlib import Path

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "trees" / "tests" / "fixtures"
OLDER = "3."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, metavar="DIR", help="where they go (default: the fixtures of shared/trees)")
    args = parser.parse_args()
    folder = args.to or DEFAULT
    try:
        import lightgbm
        import lightgbm_fixtures
        import sklearn_fixtures
        import xgboost_fixtures
    except ImportError as error:
        sys.exit(f"make_fixtures: {error} (install requirements.lock or requirements-older.lock)")
    folder.mkdir(parents=True, exist_ok=True)
    lightgbm_fixtures.make_all(folder)
    xgboost_fixtures.make_all(folder)
    if not lightgbm.__version__.startswith(OLDER):
        sklearn_fixtures.make_all(folder)


if __name__ == "__main__":
    main()
