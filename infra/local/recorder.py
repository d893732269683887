"""Proxy between the functions and the local AWS that records their calls: one line of JSON for each call.

    python3 recorder.py PORT UPSTREAM_PORT UPSTREAM_PID FILE

It ends when the local AWS has ended. The user agent identifies the caller, because it contains the function's name
(store::aws_config); only functions know this port. Of a call's body only the name of the queue, stream, topic or secret is recorded.
"""

import http.client
import json
import os
import re
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
CALLER = re.compile(r"app/(tripcast-[a-z-]+)")
# Headers that belong to one connection and are not forwarded.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection"}
ANSWER_SECONDS_MAX = 60
LOOK_SECONDS = 1


class Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream_port: int
    calls: "Calls"

    def forward(self) -> None:
        body = self.body()
        caller = CALLER.search(self.headers.get("User-Agent", ""))
        self.calls.note(caller[1] if caller else "unknown", self, body)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["Content-Length"] = str(len(body))
        upstream = http.client.HTTPConnection(HOST, self.upstream_port, timeout=ANSWER_SECONDS_MAX)
        try:
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
        except OSError:
            # The function sees a server that is down, so its SDK tries again.
            self.close_connection = True
            return
        finally:
            upstream.close()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        # The response to HEAD states the length of a body that it does not contain.
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        try:
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:
            # The function has ended meanwhile.
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self.chunks())
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def chunks(self):
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def log_message(self, *_) -> None:
        pass


class Calls:
    """The file of recorded calls; a lock keeps its lines whole."""

    def __init__(self, file: str):
        self.file = open(file, "a", buffering=1)
        self.lock = threading.Lock()

    def note(self, caller: str, request: BaseHTTPRequestHandler, body: bytes) -> None:
        target = request.headers.get("X-Amz-Target", "")
        path, _, query = request.path.partition("?")
        call = {"caller": caller, "method": request.command, "path": path, "query": query, "target": target}
        if target.startswith("AmazonSQS."):
            call["queue"] = json.loads(body).get("QueueUrl", "")
        elif target.startswith("Kinesis_"):
            call["stream"] = json.loads(body).get("StreamName", "")
        elif target.startswith("secretsmanager."):
            call["secret"] = json.loads(body).get("SecretId", "")
        elif "x-www-form-urlencoded" in request.headers.get("Content-Type", ""):
            # SNS's protocol.
            form = urllib.parse.parse_qs(body.decode())
            call["target"], call["topic"] = f"AmazonSNS.{form['Action'][0]}", form.get("TopicArn", [""])[0]
        with self.lock:
            self.file.write(json.dumps(call) + "\n")


def main() -> None:
    port, upstream_port, upstream_pid = map(int, sys.argv[1:4])
    Recorder.upstream_port, Recorder.calls = upstream_port, Calls(sys.argv[4])
    server = ThreadingHTTPServer((HOST, port), Recorder)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while runs(upstream_pid):
        time.sleep(LOOK_SECONDS)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
