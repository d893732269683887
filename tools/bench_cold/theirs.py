"""The course's function in Python, as in the course and in a lean variant: environments, models, packages."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

from champions import LEARNT_FROM, TRIPS, green
from emulator import Function
from ours import all_sent, event
from places import HERE, STATE, TREES, Environment, run
from queue_double import Queue

SOURCES = HERE / "function"
ABOUT = {
    "course": "the course's function, with MLflow (about 900 MB on disk)",
    "lean": "the same function without MLflow (about 300 MB on disk)",
}
NAMES = {"course": "Python as in the course", "lean": "Python, lean"}
# The installer, which a package does not need, and bytecode, which the interpreter compiles itself.
NOT_PACKED = ("pip", "setuptools", "_distutils_hack", "__pycache__")
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


class Variant:
    """One variant of the function: `course` or `lean`."""

    def __init__(self, name: str) -> None:
        self.name, self.folder = name, STATE / name
        self.environment = Environment(self.folder, HERE / f"requirements-{name}.lock", ABOUT[name])
        self.task, self.sizes = self.folder / "task", self.folder / "sizes.json"

    @property
    def model(self) -> Path:
        return self.task / "model"

    def function(self, queue: Queue) -> Function:
        variables = {
            **QUIET, "MODEL_PATH": str(self.model), "LAMBDA_TASK_ROOT": str(self.task), "AWS_ENDPOINT_URL": queue.endpoint,
            "PREDICTIONS_QUEUE_URL": queue.url("predictions"),
        }
        command = [str(self.environment.python), "-m", "awslambdaric", "lambda_function.lambda_handler"]
        packed = self.packed()
        return Function(NAMES[self.name], command, self.task, variables, event("scorer-sqs"), all_sent(queue),
                        packed["zip_bytes"], packed["unpacked_bytes"])

    def packed(self) -> dict:
        return json.loads(self.sizes.read_text())

    def pack(self) -> None:
        """Packs the zip, without and with the model, and keeps only the sizes, because nothing runs from the zip."""
        package = self.folder / "package.zip"
        site = next((self.environment.venv / "lib").glob("python3.*")) / "site-packages"
        unpacked = write(package, "w", site, site) + write(package, "a", self.task, self.task, ("model", *NOT_PACKED))
        zipped = package.stat().st_size
        model = write(package, "a", self.model, self.task)
        self.sizes.write_text(json.dumps({
            "of": made_from(self), "zip_bytes": zipped, "unpacked_bytes": unpacked,
            "with_model_bytes": package.stat().st_size, "model_bytes": model,
        }))
        package.unlink()


COURSE, LEAN = Variant("course"), Variant("lean")


def make() -> None:
    """Makes both variants, and makes them again when one of their sources changes; it takes ten minutes."""
    for variant in (COURSE, LEAN):
        variant.environment.ensure()
    if all(variant.sizes.exists() and variant.packed()["of"] == made_from(variant) for variant in (COURSE, LEAN)):
        return
    for variant in (COURSE, LEAN):
        shutil.rmtree(variant.task, ignore_errors=True)
        variant.task.mkdir()
        shutil.copy(SOURCES / "lambda_function.py", variant.task)
        shutil.copy(SOURCES / f"predictor_{variant.name}.py", variant.task / "predictor.py")
    run("training the course's model", [
        str(COURSE.environment.python), str(HERE / "train_course.py"), str(TRIPS / green(LEARNT_FROM)), str(TREES),
        str(COURSE.model), str(LEAN.model),
    ])
    for variant in (COURSE, LEAN):
        variant.pack()


def made_from(variant: Variant) -> str:
    sources = [variant.environment.lock, Path(__file__), HERE / "train_course.py", *sorted(SOURCES.glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()


def write(package: Path, mode: str, folder: Path, root: Path, without: tuple[str, ...] = NOT_PACKED) -> int:
    """Adds a folder's files to the zip and returns their size in bytes."""
    written = 0
    with zipfile.ZipFile(package, mode, zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            parts = file.relative_to(folder).parts
            if not any(part == name or part.startswith(f"{name}-") for part in parts for name in without):
                archive.write(file, file.relative_to(root))
                written += file.stat().st_size
    return written


def functions(queue: Queue) -> list[Function]:
    return [variant.function(queue) for variant in (COURSE, LEAN)]
