"""Checks the monitor's report in a real browser, its figures on a real Prometheus, and the dashboards by Grafana's own schema.

    python3 tools/monitor/check.py            (by `make test-monitor`, which builds `tripcast` first)

Seven months are generated, counted and judged. Prometheus is Debian's package,
unpacked below target; where there is no apt-get, that part is not run. There is no
package of Grafana itself, so that nothing here draws the dashboards.
"""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Iterator

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "browser")]

import browser  # noqa: E402
import node_environment  # noqa: E402
import not_run  # noqa: E402
from product import TRIPCAST, expect, tripcast  # noqa: E402
from python_environment import PROJECT, Failure  # noqa: E402

STATE = PROJECT / "target" / "monitor"
DASHBOARDS = PROJECT / "infra" / "grafana"
# The dashboards, and the types of schema.d.ts that they are of.
TYPES = {"tripcast": "OfCloudWatch", "tripcast-prometheus": "OfPrometheus"}
MONTHS = [f"2023-{month:02}" for month in range(1, 8)]
ROWS_A_MONTH = 20_000
# Generated months have 28 days.
LAST_DAY = "2023-07-29"
SECTIONS = {"Verdicts", "Alarms", "Errors over time", "Drift over time", "Distributions", "Errors by slice"}
PAGE_BYTES_MAX = 500_000
START_SECONDS_MAX = 60


def main() -> int:
    try:
        work = STATE / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        store = judged(work)
        look(work, store)
        compare_with_schema()
        done = scraped(work, store)
    except Failure as failure:
        print(f"monitor: {failure}", file=sys.stderr)
        return 1
    if done:
        print("monitor: the page shows what it should, and Prometheus answers every query of its dashboard")
    not_run.not_run("dashboards as Grafana draws them", "Grafana has no package that can be had here; its own schema accepts them")
    return 0 if done or not_run.not_run("the monitor's figures on Prometheus", "it takes apt-get and Debian's packages") else 1


def judged(work: Path) -> Path:
    """Counts generated months with the predictions of a model, and returns their store."""
    months = [argument for month in MONTHS for argument in ("--month", month)]
    tripcast("data", "generate", *months, "--rows", str(ROWS_A_MONTH), "--to", str(work / "trips"))
    files = [work / "trips" / f"green_tripdata_{month}.parquet" for month in MONTHS]
    model = work / "duration.bin"
    tripcast("train", "--target", "duration", "--family", "linear", "--train", str(files[0]), "--validate", str(files[1]), "--out", str(model))
    store = work / "store"
    tripcast("monitor", "profile", "--data", str(store), "--model", str(model), *map(str, files))
    (work / "models").mkdir()
    return store


def stores(work: Path, store: Path) -> list[str]:
    return ["--data", str(store), "--models", str(work / "models"), "--day", LAST_DAY]


def look(work: Path, store: Path) -> None:
    """Looks at the page of the report that a run writes, and at that of the terminal."""
    run = json.loads(tripcast("--json", "monitor", "run", *stores(work, store)))
    found = run["sources"]["batch"]
    expect(found["days"] > 200, f"{found['days']} days were judged")
    page = work / "report.html"
    tripcast("monitor", "report", *stores(work, store), "--html", str(page))
    written = store / found["report"].replace(".json", ".html")
    for seen in browser.look([written, page], STATE / "screenshots"):
        name = f"{Path(seen['page']).name}, {seen['view']}"
        expect(not seen["wrong"], f"{name}: {seen['wrong']}")
        expect(SECTIONS <= set(seen["sections"]), f"{name}: sections {seen['sections']}")
        expect(seen["plots"] >= 7, f"{name}: {seen['plots']} plots")
        expect(seen["bytes"] < PAGE_BYTES_MAX, f"{name}: {seen['bytes']} bytes")
        expect(found["last_day"] in seen["title"], f"{name}: title {seen['title']}")


def compare_with_schema() -> None:
    """Lets Grafana's own types judge the dashboards. A literal of TypeScript may have no property that its type lacks."""
    state = STATE / "grafana"
    node_environment.install(HERE / "grafana", state)
    expect(set(TYPES) == {file.stem for file in DASHBOARDS.glob("*.json")}, "a dashboard has no type to be compared with")
    checked = ['import type { OfCloudWatch, OfPrometheus } from "./schema";']
    for at, (name, kind) in enumerate(TYPES.items()):
        checked.append(f"export const dashboard{at}: {kind} = {(DASHBOARDS / f'{name}.json').read_text()};")
    (state / "check.ts").write_text("\n".join(checked))
    options = ["--strict", "--noEmit", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022"]
    node_environment.run(["npx", "tsc", *options, "check.ts"], state)


def scraped(work: Path, store: Path) -> bool:
    """Lets Prometheus scrape `tripcast monitor serve`, and asks it every query of the dashboard. Returns whether there is a Prometheus."""
    prometheus = installed()
    if not prometheus:
        return False
    with served(work, store) as target, running(prometheus, work, target) as api:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not ask(api, "tripcast_days_judged"):
            expect(time.monotonic() < deadline, "Prometheus has not scraped anything")
            time.sleep(0.5)
        for query in queries():
            expect(bool(ask(api, query)), f"Prometheus has no answer to {query}")
    return True


def queries() -> list[str]:
    """Returns the queries of the dashboard, with all sources selected."""
    panels = json.loads((DASHBOARDS / "tripcast-prometheus.json").read_text())["panels"]
    found = [target["expr"].replace("$source", ".*") for panel in panels for target in panel["targets"]]
    expect(len(found) > 10, f"{len(found)} queries")
    return found


def ask(api: str, query: str) -> list[dict]:
    with urllib.request.urlopen(f"{api}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=10) as answer:
        return json.load(answer)["data"]["result"]


def installed() -> Path | None:
    """Unpacks Debian's package of Prometheus below target, if that is possible."""
    folder = STATE / "prometheus"
    binary = folder / "usr" / "bin" / "prometheus"
    if binary.exists():
        return binary
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["apt-get", "-qq", "download", "prometheus"], cwd=folder, capture_output=True).returncode != 0:
        return None
    package = next(folder.glob("prometheus_*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
    return binary


@contextlib.contextmanager
def served(work: Path, store: Path) -> Iterator[str]:
    port = free_port()
    command = [str(TRIPCAST), "monitor", "serve", *stores(work, store), "--port", str(port)]
    with started(command, work / "serve.log", f"http://127.0.0.1:{port}/metrics"):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def running(prometheus: Path, work: Path, target: str) -> Iterator[str]:
    port = free_port()
    config = work / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: tripcast, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    command = [
        str(prometheus), f"--config.file={config}", f"--storage.tsdb.path={work / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with started(command, work / "prometheus.log", f"http://127.0.0.1:{port}/-/ready"):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def started(command: list[str], log: Path, ready: str) -> Iterator[None]:
    """Runs a server until the end of the block; it has to answer at `ready` first."""
    with open(log, "w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(ready, timeout=10).close()
                break
            expect(server.poll() is None and time.monotonic() < deadline, f"{command[0]} did not start: {log.read_text()[-400:]}")
            time.sleep(0.2)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
