"""A fake SQS: it implements SendMessageBatch in JSON and accepts every message."""

import hashlib
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Queue:
    """A server on a free loopback port that counts the messages it receives."""

    def __enter__(self) -> "Queue":
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.server.messages = 0
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def url(self, name: str) -> str:
        return f"{self.endpoint}/000000000000/{name}"

    def take(self) -> int:
        """Returns the number of messages received since the last call."""
        taken, self.server.messages = self.server.messages, 0
        return taken


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A response is sent in one piece; the second of two pieces would wait until the first is acknowledged.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Amz-Target"] == "AmazonSQS.SendMessageBatch":
            self.server.messages += len(call["Entries"])
            self.answer(200, {"Successful": [accepted(entry) for entry in call["Entries"]], "Failed": []})
        else:
            self.answer(400, {"__type": "com.amazonaws.sqs#UnsupportedOperation"})

    def answer(self, status: int, document: dict) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def accepted(entry: dict) -> dict:
    md5 = hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    return {"Id": entry["Id"], "MessageId": str(uuid.uuid4()), "MD5OfMessageBody": md5}
