"""A fleet for tests: a controller, a worker, and what the worker passes its work on to."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from openautoglm import AutoClient

MODEL = "glm-live"
WORKER = "worker-1"
#: In a prompt: to be answered slowly, and for long.
SLOWLY = "slowly"
#: In a prompt: to be refused.
REFUSE = "refuse"
START_S = 60


class Upstream(ThreadingHTTPServer):
    """Speaks as OpenAI-compatible servers do; answers with the words it was asked, in capitals."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        #: Set when somebody left before the end of an answer.
        self.left = threading.Event()

    def server_bind(self) -> None:
        """Without asking for the name of this host, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "upstream", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break here on purpose."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_POST(self) -> None:
        self.close_connection = True
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked)
        chat = self.path == "/v1/chat/completions"
        if not chat and self.path != "/v1/completions":
            self.send_error(404)
            return
        text = asked["messages"][-1]["content"] if chat else asked["prompt"]
        if REFUSE in text:
            self._refuse()
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        words = text.split()
        most = asked.get("max_tokens", 1_000)
        slow = SLOWLY in words
        try:
            for at in range(most if slow else min(len(words), most)):
                self._choice(chat, f"{words[at % len(words)].upper()} ", None)
                time.sleep(0.05 if slow else 0)
            self._choice(chat, "", "length" if len(words) > most else "stop")
            usage = {"prompt_tokens": len(words), "completion_tokens": min(len(words), most)}
            self._send({"choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.left.set()

    def _refuse(self) -> None:
        body = json.dumps({"error": {"message": "no such words here"}}).encode()
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _choice(self, chat: bool, text: str, finish: str | None) -> None:
        said = {"delta": {"content": text}} if chat else {"text": text}
        self._send({"choices": [{"index": 0, "finish_reason": finish, **said}]})

    def _send(self, data: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        pass


@dataclass
class Fleet:
    """What runs, and how to reach it."""

    upstream: Upstream
    url: str
    key: str
    controller: subprocess.Popen[bytes]
    worker: subprocess.Popen[bytes] | None = None
    logs: list[Path] = field(default_factory=list)


@contextmanager
def running(folder: Path) -> Iterator[Fleet]:
    """A fleet with one worker, for as long as it is needed."""
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        thread = threading.Thread(target=upstream.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        stack.callback(upstream.shutdown)
        data = folder / "data"
        words = ["openautoglm.core", "--role=controller", "--port=0", f"--data={data}"]
        controller = stack.enter_context(started(words, folder / "controller.log"))
        run = data / "run.json"
        until(lambda: run.exists() and run.stat().st_size > 0, controller, "the controller")
        fleet = Fleet(
            upstream,
            f"http://{json.loads(run.read_text())['address']}",
            (data / "admin.key").read_text().strip(),
            controller,
            logs=[folder / "controller.log", folder / "worker.log"],
        )
        words = ["openautoglm.worker", f"--controller={fleet.url}", f"--model={MODEL}"]
        words += [f"--upstream={upstream.url}", f"--node-id={WORKER}", "--group=live"]
        fleet.worker = stack.enter_context(started(words, folder / "worker.log"))
        with AutoClient(fleet.key, fleet.url) as client:
            until(lambda: any(m.nodes for m in client.models()), fleet.worker, "the worker")
        yield fleet


@contextmanager
def started(words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A module that runs, and is ended by its own pid."""
    environment = {**os.environ, "XDG_STATE_HOME": str(log.parent / "state")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], stdout=out, stderr=out, env=environment
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(true: Any, process: subprocess.Popen[bytes], what: str) -> None:
    """Waits for something that a process brings about."""
    end = time.monotonic() + START_S
    while not true():
        if process.poll() is not None:
            raise AssertionError(f"{what} ended with {process.returncode}")
        if time.monotonic() > end:
            raise AssertionError(f"{what} was not there in {START_S} s")
        time.sleep(0.05)
