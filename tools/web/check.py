"""Checks `tripcast serve`: its page in a real browser, generated requests by its OpenAPI document, clients that are slow, do not read or send too much, and its end.

    python3 tools/web/check.py            (by `make test-web`, which builds `tripcast` first)

A registry is made of the sample in this repository. Schemathesis makes requests that the document allows and that it forbids, and compares
status, type and body of each answer with it.
"""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Iterator

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "browser")]

import browser  # noqa: E402
from product import TRIPCAST, expect  # noqa: E402
from python_environment import PROJECT, Environment, Failure  # noqa: E402

STATE = PROJECT / "target" / "web"
SAMPLE = PROJECT / "tests" / "fixtures" / "trips"
OURS = Environment(STATE, HERE / "requirements.lock", "Schemathesis (about 80 MB on disk)")
EXAMPLES = 300
# More than half of the connections that the server has places for.
SLOW_CLIENTS = 600
# The connections that the server has places for.
PLACES = 1024
# The server waits 15 s for a head or a body, and for a client that does not read.
SLOW_SECONDS_MAX = 25
# Before a client that does not read is seen as such, what its machine takes is written to it.
DEAF_SECONDS_MAX = 60
ANSWER_SECONDS_MAX = 2
LARGE_BYTES = 100 << 20
RIDE = b'{"PULocationID": 10, "DOLocationID": 50, "trip_distance": 40}'


def main() -> int:
    try:
        OURS.ensure()
        OURS.reenter()
        with OURS.exclusive("run"):
            work = STATE / "work"
            shutil.rmtree(work, ignore_errors=True)
            store = trained(work)
            with served(store, work) as (server, port):
                page(port)
                generated(port, work)
                slow(port)
                deaf(port)
                large(port)
                ended(server, port)
    except Failure as failure:
        print(f"web: {failure}", file=sys.stderr)
        return 1
    print("web: every generated request was answered by the document, slow and large ones cost nobody else, and what had begun was answered")
    return 0


def trained(work: Path) -> Path:
    """Trains champions on two months of the sample, and returns their store."""
    history = work / "data" / "history"
    history.mkdir(parents=True)
    for month in ("2021-01", "2021-02"):
        shutil.copy(SAMPLE / f"green_tripdata_{month}.parquet", history)
    store = work / "models"
    command = [TRIPCAST, "retrain", "--data", work / "data", "--models", store, "--now", "2021-03-15", "--trials", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    expect(done.returncode == 0, f"training: {done.stderr.strip()[-400:]}")
    return store


@contextlib.contextmanager
def served(store: Path, work: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(work / "serve.log", "w") as log:
        server = subprocess.Popen([TRIPCAST, "serve", "--store", store, "--listen", f"127.0.0.1:{port}"], stderr=log)
    try:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            log = (work / "serve.log").read_text()[-400:]
            expect(server.poll() is None and time.monotonic() < until, f"the server did not start: {log}")
            time.sleep(0.1)
        yield server, port
    finally:
        server.kill()
        server.wait()


def page(port: int) -> None:
    """Tries the page: a wrong zone and distance, a trip, the card of the model that answered, and the map."""
    for seen in browser.tried(f"http://127.0.0.1:{port}/", STATE / "screenshots"):
        view, answer = seen["view"], seen["answer"]
        expect(not seen["wrong"], f"page, {view}: {'; '.join(seen['wrong'])}")
        messages = seen["messages"]
        expect("No zone is like this" in messages["zone"] and "Expected miles" in messages["miles"] and messages["time"] and messages["focus"] == "from", f"page, {view}: {messages}")
        expect(answer["minutes"].endswith(" minutes") and float(answer["minutes"].split()[0]) > 5, f"page, {view}: {answer}")
        expect("90 %" in answer["interval"] and "crow flies" in answer["distance"] and answer["bars"] > 2, f"page, {view}: {answer}")
        expect("boosted" in answer["card"] and "rmse" in answer["card"], f"page, {view}: {answer['card']}")
        expect(seen["chosen"].endswith("(130)"), f"page, {view}: the map chose {seen['chosen']}")


def generated(port: int, work: Path) -> None:
    """Lets Schemathesis ask."""
    here = f"http://127.0.0.1:{port}"
    command = [
        OURS.venv / "bin" / "schemathesis", "run", f"{here}/openapi.json", "--url", here, "--max-examples", str(EXAMPLES),
        # The same requests in every run.
        "--seed", "1", "--generation-deterministic", "--no-color",
    ]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    (work / "schemathesis.log").write_text(done.stdout + done.stderr)
    expect(done.returncode == 0, f"generated requests, see {work / 'schemathesis.log'}: {done.stdout[-600:]}")


def predict(port: int) -> float:
    """Asks for a prediction and returns how long it took."""
    began = time.monotonic()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", RIDE, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=DEAF_SECONDS_MAX) as answer:
        expect(json.load(answer)["duration"] > 0, "there is no duration")
    return time.monotonic() - began


def slow(port: int) -> None:
    """Clients that send a head or a body and never end it are let go, and another one is answered meanwhile."""
    clients = []
    for number in range(SLOW_CLIENTS):
        client = socket.create_connection(("127.0.0.1", port), timeout=SLOW_SECONDS_MAX + 5)
        head = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        client.sendall(head if number % 2 else head + b"Content-Length: 1000\r\n\r\n{")
        clients.append(client)
    began = time.monotonic()
    took = predict(port)
    expect(took < ANSWER_SECONDS_MAX, f"beside {SLOW_CLIENTS} slow clients an answer took {took:.1f} s")
    for client in clients:
        with contextlib.suppress(ConnectionError):
            # 408, or the end of the connection.
            while client.recv(4096):
                pass
        client.close()
        expect(time.monotonic() - began < SLOW_SECONDS_MAX, "slow clients were not let go")


def deaf(port: int) -> None:
    """Clients that ask much and never read take every place, until they are let go."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: here\r\n\r\n" * 400
    clients = []
    for _ in range(PLACES):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(DEAF_SECONDS_MAX)
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.send(request)
        clients.append(client)
    took = predict(port)
    for client in clients:
        client.close()
    expect(took < DEAF_SECONDS_MAX, f"beside clients that do not read an answer took {took:.1f} s")


def large(port: int) -> None:
    """A body of 100 MB is refused before it has come whole."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(f"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {LARGE_BYTES}\r\n\r\n".encode())
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < LARGE_BYTES:
            client.sendall(b" " * (1 << 20))
            sent += 1 << 20
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = client.recv(4096)
    client.close()
    expect(sent < LARGE_BYTES, "a body of 100 MB was taken whole")
    expect(not answer or b" 413 " in answer.split(b"\r\n")[0], f"a body of 100 MB was answered with {answer[:100]!r}")
    expect(predict(port) < ANSWER_SECONDS_MAX, "nobody else was answered")


def ended(server: subprocess.Popen, port: int) -> None:
    """A request that has begun is answered after SIGTERM, and the server ends well."""
    answers = []
    rides = b"[" + b",".join([RIDE] * 10_000) + b"]"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", rides, {"Content-Type": "application/json"})

    def ask() -> None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            answers.append(len(json.load(urllib.request.urlopen(request, timeout=30))))

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.02)
    server.send_signal(signal.SIGTERM)
    asking.join()
    expect(server.wait(15) == 0, f"the server ended with {server.returncode}")
    expect(answers == [10_000], "a request that had begun was not answered")


if __name__ == "__main__":
    sys.exit(main())
