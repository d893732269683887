"""Proves the integrations of infra/neighbours, and the files of `tripcast data dvc`, by Airflow, Kubeflow Pipelines and DVC themselves.

    python3 tools/neighbours/check.py            (by `make test-neighbours`, which builds what it runs)

Airflow loads the DAG and runs it twice: on directories, and on a stack of the local AWS. KFP compiles the pipeline to the committed
bytes, and its local runner runs it, with the binary in place of containers. DVC judges files and takes them over as they are. Each has an
environment of its own below target. What they fetch from the TLC comes from a server on the loopback interface.
"""

import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from not_run import not_run  # noqa: E402
from python_environment import PROJECT, Environment, Failure, reason  # noqa: E402

STATE = PROJECT / "target" / "neighbours"
AIRFLOW = Environment(STATE / "airflow", HERE / "airflow.lock", "Airflow (about 460 MB on disk)")
KUBEFLOW = Environment(STATE / "kubeflow", HERE / "kubeflow.lock", "Kubeflow Pipelines (about 120 MB on disk)")
DVC = Environment(STATE / "dvc", HERE / "dvc.lock", "DVC (about 190 MB on disk)")
# Compiled packages of the locks have wheels up to this one.
PYTHON_MAX = (3, 14)
NEIGHBOURS = PROJECT / "infra" / "neighbours"
LOCAL_AWS = PROJECT / "infra" / "local" / "local_aws.py"
TRIPCAST = PROJECT / "target" / "release" / "tripcast"
SAMPLE = PROJECT / "tests" / "fixtures" / "trips"
BEFORE, MONTH = (f"green_tripdata_2021-{month}.parquet" for month in ("01", "02"))
TASKS = [["fetch", ["retrain"]], ["retrain", ["backfill"]], ["backfill", []]]
SECONDS_MAX = 300


def main() -> int:
    done = True
    try:
        for what, environment, check in (
            ("the DAG on Airflow", AIRFLOW, airflow),
            ("the pipeline on Kubeflow Pipelines", KUBEFLOW, kubeflow),
            ("`tripcast data dvc` by DVC", DVC, dvc),
        ):
            if sys.version_info[:2] > PYTHON_MAX:
                newest = ".".join(map(str, PYTHON_MAX))
                done &= not_run(what, f"its packages support Python up to {newest}, and this is {sys.version.split()[0]}")
                continue
            environment.ensure()
            with environment.exclusive("run"):
                check(environment)
    except Failure as failure:
        print(f"neighbours: {failure}", file=sys.stderr)
        return 1
    return 0 if done else 1


def airflow(ours: Environment) -> None:
    work = fresh(ours)
    environment = {
        **plain(), "AIRFLOW_HOME": str(work / "home"), "AIRFLOW__CORE__DAGS_FOLDER": str(NEIGHBOURS / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Versions of Airflow that report their use do not with this.
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False", "SCARF_ANALYTICS": "false",
        "PATH": f"{TRIPCAST.parent}:{ours.venv / 'bin'}:{os.defpath}",
    }
    run([ours.venv / "bin" / "airflow", "db", "migrate"], environment, work / "migrate.log")
    with published() as source:
        data, models = work / "data", work / "models"
        place(BEFORE, data / "history")
        variables = {"data": str(data), "models": str(models), "source": source}
        # The month is the one that the DAG itself derives from the day.
        run_dag(ours, environment, variables, "2021-04-15", {})
        expect_predicted(str(data), str(models), environment)
        if [file.name for file in (data / "incoming").iterdir()] != [MONTH]:
            raise Failure(f"{data / 'incoming'} holds other files than the fetched month")
        with local_aws(environment) as stack:
            variables = {
                "data": f"s3://{stack['DATA_BUCKET']}", "models": f"s3://{stack['MODEL_BUCKET']}", "source": source,
                "training_state_machine": stack["TRAINING_STATE_MACHINE"], "backfill_state_machine": stack["BACKFILL_STATE_MACHINE"],
            }
            run(["aws", "s3", "cp", SAMPLE / BEFORE, f"{variables['data']}/history/"], stack)
            run_dag(ours, stack, variables, "2021-03-15", {"month": "2021-02"})
            expect_predicted(variables["data"], variables["models"], stack)
    print(f"neighbours: Airflow {version(ours, 'apache-airflow')} loads the DAG and runs {', '.join(task for task, _ in TASKS)}, "
          "on directories and by the state machines of a stack")


def run_dag(ours: Environment, environment: dict[str, str], variables: dict[str, str], day: str, conf: dict) -> None:
    report, log = ours.state / "work" / "report.json", ours.state / "work" / "run.log"
    report.unlink(missing_ok=True)
    environment = {**environment, **{f"AIRFLOW_VAR_TRIPCAST_{name.upper()}": value for name, value in variables.items()}}
    run([ours.python, HERE / "run_dag.py", day, json.dumps(conf), report], environment, log)
    found = json.loads(report.read_text())
    for file, error in found["import_errors"].items():
        raise Failure(f"Airflow cannot import {Path(file).name}: {last_error(error)}")
    if found["dags"] != ["tripcast"]:
        raise Failure(f"Airflow found the DAGs {found['dags']}, expected one, tripcast")
    if found["tasks"] != TASKS:
        raise Failure(f"the DAG has the tasks {found['tasks']}, expected {TASKS}")
    for task, command in found["commands"].items():
        # A run takes one branch of a command; this reads all of it.
        run(["bash", "-n", "-c", command], environment, what=f"the command of {task}")
    failed = [task for task, state in found["states"].items() if state != "success"]
    if failed or len(found["states"]) != len(TASKS):
        raise Failure(f"of the tasks {found['states']}, not all succeeded: {last_error(log.read_text())}")


@contextlib.contextmanager
def local_aws(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Deploys a stack on a local AWS of its own, and yields the variables of a shell that uses it."""
    port = run([sys.executable, LOCAL_AWS, "free-port"], environment).strip()
    environment = {**environment, "LOCAL_AWS_PORT": port}
    try:
        run([sys.executable, LOCAL_AWS, "up"], environment)
        run([sys.executable, LOCAL_AWS, "deploy"], environment)
        exports = run(["bash", "-euc", f'eval "$({sys.executable} {LOCAL_AWS} env)"; env -0'], environment)
        stack = dict(entry.split("=", 1) for entry in exports.split("\0") if entry)
        yield {**stack, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    finally:
        run([sys.executable, LOCAL_AWS, "down"], environment)


@contextlib.contextmanager
def published() -> Iterator[str]:
    """Serves the sample of months as the TLC serves its months, and yields the URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SAMPLE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def kubeflow(ours: Environment) -> None:
    work, environment = fresh(ours), plain()
    source, committed, compiled = NEIGHBOURS / "kubeflow" / "pipeline.py", NEIGHBOURS / "kubeflow" / "pipeline.yaml", work / "pipeline.yaml"
    run([ours.venv / "bin" / "kfp", "dsl", "compile", "--py", source, "--output", compiled], environment, work / "compile.log")
    if compiled.read_bytes() != committed.read_bytes():
        raise Failure(f"{source.name} compiles to other bytes than {committed.name}; if they are right, copy them from {compiled}")
    data, models = work / "data", work / "models"
    place(BEFORE, data / "history")
    place(MONTH, data / "incoming")
    parameters = {
        "data": str(data), "models": str(models), "month": "2021-02", "now": "2021-03-15",
        "previous": str(data / "history" / BEFORE), "trips": str(data / "incoming" / MONTH),
    }
    log = work / "run.log"
    run([ours.python, HERE / "run_pipeline.py", committed, TRIPCAST, work / "root", json.dumps(parameters)], environment, log)
    commands = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("[")]
    expected = [
        ["data", "inspect", parameters["previous"], parameters["trips"]],
        ["retrain", "--data", str(data), "--models", str(models), "--now", "2021-03-15", "--name", "kubeflow"],
        ["backfill", "--data", str(data), "--models", str(models), "--from", "2021-02", "--to", "2021-02"],
    ]
    if commands != expected:
        raise Failure(f"the pipeline ran {commands}, expected {expected}")
    expect_predicted(str(data), str(models), environment)
    print(f"neighbours: Kubeflow Pipelines {version(ours, 'kfp')} compiles {source.name} to {committed.name}, loads it and runs its "
          f"{len(commands)} containers as processes")


def dvc(ours: Environment) -> None:
    work = fresh(ours)
    repository, settings = work / "repository", work / "settings"
    repository.mkdir()
    environment = {
        **plain(), "DVC_NO_ANALYTICS": "1", "ITERATIVE_DO_NOT_TRACK": "1",
        # The settings and caches of whoever runs this stay as they are, and cannot change what is found.
        "DVC_GLOBAL_CONFIG_DIR": str(settings), "DVC_SYSTEM_CONFIG_DIR": str(settings), "DVC_SITE_CACHE_DIR": str(settings),
    }

    def by_dvc(*arguments: str) -> str:
        return run([ours.venv / "bin" / "dvc", *arguments], environment, cwd=repository)

    def status() -> dict[str, str]:
        """Returns what DVC says of each file that it does not find as it should be."""
        changes = [change for changes in json.loads(by_dvc("status", "--json")).values() for change in changes]
        return {file: how for change in changes for file, how in change["changed outs"].items()}

    by_dvc("init", "--quiet", "--no-scm")
    by_dvc("config", "core.analytics", "false")
    by_dvc("config", "core.check_update", "false")
    files = [place(name, repository) for name in (BEFORE, MONTH)]
    # YAML needs quotes for this name.
    odd = Path(shutil.copy(SAMPLE / BEFORE, repository / "it's: #1.parquet"))
    run([TRIPCAST, "data", "dvc", *(file.name for file in (*files, odd))], environment, cwd=repository)
    pointers = [file.with_name(f"{file.name}.dvc") for file in files]
    written = [pointer.read_text() for pointer in pointers]
    # Until DVC has a copy, only this command compares hashes: `dvc status` names every file as not in the cache, and no more.
    compared = json.loads(by_dvc("data", "status", "--json"))
    everything = sorted(file.name for file in (*files, odd))
    expect("before `dvc commit`", {how: sorted(names) for how, names in compared.items()}, {"not_in_cache": everything})
    by_dvc("commit")
    expect("after `dvc commit`", by_dvc("status").strip(), "Data and pipelines are up to date.")
    content = bytearray(files[1].read_bytes())
    content[1000] ^= 1
    files[1].write_bytes(content)
    expect("after a byte has changed", status(), {MONTH: "modified"})
    place(MONTH, repository)
    for doing in ("changes", "makes"):
        by_dvc("add", "--quiet", *(file.name for file in files))
        for pointer, text in zip(pointers, written):
            expect(f"{pointer.name} as `dvc add` {doing} it", pointer.read_text(), text)
            pointer.unlink()
    print(f"neighbours: DVC {version(ours, 'dvc')} takes over what `tripcast data dvc` writes, writes the same bytes itself, "
          "and names a changed file")


def expect(when: str, found: object, expected: object) -> None:
    if found != expected:
        raise Failure(f"{when}: DVC gives {found!r}, expected {expected!r}")


def expect_predicted(data: str, models: str, environment: dict[str, str]) -> None:
    """Expects that the champions of the store have predicted the month: then a backfill of it changes nothing."""
    printed = run([TRIPCAST, "--json", "backfill", "--data", data, "--models", models, "--from", "2021-02", "--to", "2021-02"], environment)
    outcomes = json.loads(printed)["outcomes"]
    if outcomes != {"unchanged": 1}:
        raise Failure(f"a second backfill found {outcomes}, expected that the month has been predicted")


def fresh(ours: Environment) -> Path:
    """Returns a new empty folder for what a check makes."""
    work = ours.state / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return work


def place(name: str, folder: Path) -> Path:
    """Copies a month of the sample into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # DVC may have made the earlier copy read-only, or a link into its cache.
    (folder / name).unlink(missing_ok=True)
    return Path(shutil.copy(SAMPLE / name, folder / name))


def plain() -> dict[str, str]:
    """Returns the environment without what would lead to an account, a stack or an installation of somebody's own."""
    others = ("AWS_", "AIRFLOW", "DVC_", "KFP_", "LOCAL_AWS_", "MLFLOW_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**own, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}


def version(ours: Environment, package: str) -> str:
    return re.search(rf"^{package}==(\S+)", ours.lock.read_text(), re.MULTILINE)[1]


def run(command: list, environment: dict[str, str], log: Path | None = None, *, cwd: Path = PROJECT, what: str = "") -> str:
    """Runs a command and returns what it prints on stdout; with a log, that holds all that it prints."""
    what = what or " ".join([Path(command[0]).name, *(Path(str(argument)).name for argument in command[1:3])])
    found = shutil.which(command[0], path=environment.get("PATH"))
    if not found:
        raise Failure(f"{what}: {command[0]} is missing")
    try:
        done = subprocess.run(
            [found, *command[1:]], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"{what} was not done after {SECONDS_MAX} s") from None
    if log:
        log.write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        raise Failure(f"{what} failed: {last_error(done.stdout + done.stderr)}{f' ({log})' if log else ''}")
    return done.stdout


def last_error(output: str) -> str:
    """Returns the last line in which `tripcast` names an error, or else the last with an error of Python's."""
    for pattern in (r"\berror: .*", r"\b[\w.]*(?:Error|Exception|Invalid)\b.*"):
        found = re.findall(pattern, output)
        if found:
            # Airflow adds to a line which logger it came by.
            return re.sub(r"\s+\[[\w.]+\] loc=\S+$", "", found[-1]).strip()
    return reason(output)


if __name__ == "__main__":
    sys.exit(main())
