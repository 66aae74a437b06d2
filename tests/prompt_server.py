"""A chat server in a process of its own that behaves as badly as it is told, question by question.

`python prompt_server.py FOLDER` writes its port to FOLDER/port, and every request to FOLDER/log (one JSON line, in order of
arrival). FOLDER/script.json says what happens: a list of steps, each for one request in order of arrival; after the last step
everything is answered `FINAL ANSWER: Yes` if the text has the word fox, else `FINAL ANSWER: No`. A step is a reply (a string),
or one of {"status": 500, "headers": {}, "body": "..."}, {"hang": true}, {"drop": true}, {"drip": true}, {"choice": {...}} (what
stands in the list of choices), {"endless": 200} (a body that never ends, under that status).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
LOCK = threading.Lock()
ARRIVED = 0
OVER = threading.Event()


def step_of(body: dict[str, Any], headers: dict[str, str]) -> Any:
    """Note a request and look up what it gets."""
    global ARRIVED
    with LOCK:
        number, ARRIVED = ARRIVED, ARRIVED + 1
        with (FOLDER / "log").open("a") as log:
            log.write(json.dumps({"at": time.monotonic(), "key": headers.get("Authorization"), **body}) + "\n")
    script = json.loads((FOLDER / "script.json").read_text())
    return script[number] if number < len(script) else default(body)


def default(body: dict[str, Any]) -> str:
    content = body["messages"][0]["content"]
    text = content if isinstance(content, str) else content[-1]["text"]
    return "FINAL ANSWER: Yes" if "fox" in text.split() else "FINAL ANSWER: No"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(404, b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/chat/completions", self.path
        step = step_of(body, dict(self.headers))
        if isinstance(step, str):
            step = {"choice": {"message": {"role": "assistant", "content": step}, "finish_reason": "stop"}}
        if "choice" in step:
            self._send(200, json.dumps({"choices": [step["choice"]]}).encode())
        elif step.get("hang"):
            OVER.wait(60)
        elif step.get("drop"):
            self.close_connection = True
        elif step.get("drip"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            while not OVER.wait(0.02):
                self.wfile.write(b" ")
                self.wfile.flush()
        elif "endless" in step:
            self.send_response(step["endless"])
            self.send_header("Connection", "close")
            self.end_headers()
            while not OVER.is_set():
                self.wfile.write(b" " * (1 << 16))  # until the client hangs up
        else:
            self._send(step["status"], step.get("body", "").encode(), step.get("headers", {}))

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(body), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing on stderr."""


class Server(ThreadingHTTPServer):
    """Says nothing of clients that went away."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """They are what is tested."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    part = FOLDER / "port.part"
    part.write_text(str(server.server_port))
    part.rename(FOLDER / "port")
    server.serve_forever()
