"""Our functions for the benchmark: the packages as deployed, with stores in directories."""

import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Callable

from champions import MODELS, PREDICTED, SMALL, SMALL_ROWS, TRIPS, green
from emulator import Function
from places import EVENTS, PROJECT, STATE, Failure
from queue_double import Queue

sys.path.insert(0, str(PROJECT / "infra"))

from package import pack  # noqa: E402

DATA = STATE / "data"


def functions(packages: Path, queue: Queue) -> list[Function]:
    """Returns our functions; the batch predictor comes twice, because its response time depends on the file."""
    month, small = TRIPS / green(PREDICTED), SMALL / green(PREDICTED)
    scorer = Package("scorer", packages, queue)
    predictor, retrainer = Package("batch-predictor", packages, queue), Package("retrainer", packages, queue)
    web = Package("web", packages, queue)
    return [
        scorer.function("scorer", event("scorer-sqs"), all_sent(queue)),
        web.function("web", event("web-predict"), answered),
        predictor.function(f"batch-predictor, {SMALL_ROWS:,} rows", dropped(), predicted, lambda: drop(small)),
        predictor.function("batch-predictor, a month", dropped(), predicted, lambda: drop(month)),
        retrainer.function("retrainer, ages only", event("retrainer-report"), aged),
    ]


class Package:
    """A function's zip, unpacked. A bare binary is first packed as for deployment."""

    def __init__(self, name: str, packages: Path, queue: Queue) -> None:
        self.zip, self.folder, self.queue = packages / name / "bootstrap.zip", STATE / "functions" / name, queue
        if not self.zip.is_file():
            binaries = [file for file in (packages / name / "bootstrap", packages / name) if file.is_file()]
            if not binaries:
                raise Failure(f"there is no package of {name} in {packages}; build it first, or say where with --packages")
            self.zip = pack(binaries[0], STATE / "packages" / name)
        shutil.rmtree(self.folder, ignore_errors=True)
        with zipfile.ZipFile(self.zip) as archive:
            archive.extractall(self.folder)
        (self.folder / "bootstrap").chmod(0o755)

    def function(self, name: str, asked: dict, judge: Callable, prepare: Callable = lambda: None) -> Function:
        unpacked = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        variables = {
            "MODEL_STORE": str(MODELS), "DATA_STORE": str(DATA), "AWS_ENDPOINT_URL": self.queue.endpoint,
            "PREDICTIONS_QUEUE_URL": self.queue.url("predictions"), "DLQ_URL": self.queue.url("dlq"),
        }
        return Function(name, [str(self.folder / "bootstrap")], self.folder, variables, asked, judge,
                        self.zip.stat().st_size, unpacked, prepare)


def event(name: str) -> dict:
    return json.loads((EVENTS / f"{name}.json").read_text())


def dropped() -> dict:
    told = event("batch-predictor-eventbridge")
    # The sample event states the size, version and ETag of another file, so they are left out.
    told["detail"]["object"] = {"key": f"incoming/{green(PREDICTED)}"}
    return told


def drop(file: Path) -> None:
    """Makes a store that holds only this file."""
    shutil.rmtree(DATA, ignore_errors=True)
    (DATA / "incoming").mkdir(parents=True)
    shutil.copy(file, DATA / "incoming" / file.name)


def all_sent(queue: Queue, n: int = 3) -> Callable[[object], None]:
    """Returns a check that a function, ours or a Python one, sent on all messages: those of the sample, or as many as there were."""
    def judge(answer: object) -> None:
        sent = queue.take()
        if answer != {"batchItemFailures": []} or sent != n:
            raise Failure(f"{sent} of {n} messages were sent on: {str(answer)[:300]}")

    return judge


def predicted(answer: object) -> None:
    if not isinstance(answer, list) or [one.get("outcome") for one in answer] != ["predicted"]:
        raise Failure(f"the file was not predicted: {str(answer)[:300]}")


def answered(answer: object) -> None:
    if not isinstance(answer, dict) or answer.get("statusCode") != 200 or not json.loads(answer["body"])["duration"] > 0:
        raise Failure(f"the trip was not answered: {str(answer)[:300]}")


def aged(answer: object) -> None:
    if not isinstance(answer, dict) or answer.get("model_hours") is None:
        raise Failure(f"no ages were told: {str(answer)[:300]}")
