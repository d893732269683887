"""Checks model cards: by the schema of the Model Card Toolkit, and as rendered in a real browser.

    python3 tools/card/check.py            (by `make test-card`, which builds `tripcast` first)

Models are trained twice, so that the second ones have a champion to compare with; every card is validated, and every
page is inspected in headless Chromium. Screenshots are kept in target/card/screenshots.
"""

import json
import shutil
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "browser")]

import browser  # noqa: E402
import trips  # noqa: E402
from product import TRIPCAST, expect  # noqa: E402
from python_environment import PROJECT, Environment, Failure, run  # noqa: E402

STATE = PROJECT / "target" / "card"
OURS = Environment(STATE, HERE / "requirements.lock", "a validator of JSON schemas (3 MB)")
SCHEMA = "model_card_toolkit/schema/v0.0.2/model_card.schema.json"
SECTIONS = {
    "Summary", "Error by slice", "Sensitivity to the distance", "Sets of rules", "Difference from the previous version",
    "Data", "Limits",
}
OF_TARGET = {"duration": {"Reliability and intervals"}, "tip": {"Reliability"}}
OF_FAMILY = {"boosted": {"What it looks at"}, "tree": {"Its rules"}}
PLOTS_MIN = {"duration": 5, "tip": 3}
PAGE_BYTES_MAX = 300_000


def main() -> int:
    try:
        OURS.ensure()
        OURS.reenter()
        with OURS.exclusive("run"):
            cards = train()
            validate(cards)
            look(cards)
    except Failure as failure:
        print(f"card: {failure}", file=sys.stderr)
        return 1
    print(f"card: {len(cards)} cards are valid, and their pages show what they should (target/card/screenshots)")
    return 0


def train() -> list[Path]:
    """Runs two retrainings a month apart and returns the folders of all their models."""
    work = STATE / "work"
    shutil.rmtree(work, ignore_errors=True)
    trips.link(work / "data" / "history")
    for now in ("2021-03-15", "2021-04-15"):
        run(f"retraining as of {now}", [
            str(TRIPCAST), "retrain", "--data", str(work / "data"), "--models", str(work / "models"), "--now", now,
            "--name", "card", "--trials", "0",
        ])
    cards = sorted((work / "models").glob("*/versions/*"))
    expect(len(cards) >= 6, f"{len(cards)} models were published")
    return cards


def validate(cards: list[Path]) -> None:
    import jsonschema

    schema = json.loads(schema_text())
    for card in cards:
        document = json.loads((card / "card.json").read_text())
        errors = [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(document)]
        expect(not errors, f"{card.name}: {errors[:3]}")
        metrics = document["quantitative_analysis"]["performance_metrics"]
        expect(len(metrics) > 15, f"{card.name}: {len(metrics)} metrics")
        expect(document["model_details"]["tripcast"]["version"] == card.name, f"{card.name}: another version")
    # The schema has to refuse something: its outermost object allows no additional properties.
    try:
        jsonschema.validate({**document, "unheard_of": 1}, schema)
    except jsonschema.ValidationError:
        return
    raise Failure("the schema accepts anything")


def schema_text() -> str:
    into = STATE / "schema"
    into.mkdir(exist_ok=True)
    run("fetching the schema", [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes",
        "--dest", str(into), "-r", str(HERE / "schema.lock"),
    ])
    with zipfile.ZipFile(next(into.glob("model_card_toolkit-*.whl"))) as wheel:
        return wheel.read(SCHEMA).decode()


def look(cards: list[Path]) -> None:
    for seen in browser.look([card / "card.html" for card in cards], STATE / "screenshots"):
        card = Path(seen["page"]).parent
        name = f"{card.parent.parent.name} {card.name}, {seen['view']}"
        details = json.loads((card / "card.json").read_text())["model_details"]["tripcast"]
        expect(not seen["wrong"], f"{name}: {seen['wrong']}")
        expected = SECTIONS | OF_TARGET[details["target"]] | OF_FAMILY.get(details["family"], set())
        expect(set(seen["sections"]) == expected, f"{name}: sections {seen['sections']}")
        expect(details["version"] in seen["title"], f"{name}: title {seen['title']}")
        expect(seen["plots"] >= PLOTS_MIN[details["target"]], f"{name}: {seen['plots']} plots")
        expect(seen["marks_fewest"] >= 4, f"{name}: a plot shows {seen['marks_fewest']} figures")
        expect(seen["bytes"] < PAGE_BYTES_MAX, f"{name}: {seen['bytes']} bytes")


if __name__ == "__main__":
    sys.exit(main())
