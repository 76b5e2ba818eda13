"""What the tests share: either client behind one face, and a server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import httpx

from openautoglm import AsyncAutoClient, AutoClient

KEY = "oag_test_0123456789abcdef"
METRICS = {
    "cpu_usage": [95, 96, 98, 94],
    "request_rate": [1200, 1300, 1100, 1400],
    "error_rate": [0.05, 0.12, 0.33, 0.41],
}

ANSWER: dict[str, Any] = {
    "action": "将 order-service 从 4 个副本扩容到 6 个副本",
    "decision": "act",
    "action_kind": "scale",
    "service": "order-service",
    "language": "zh",
    "confidence": 0.87,
    "findings": [
        {
            "kind": "saturation",
            "severity": "high",
            "confidence": 0.93,
            "summary": "CPU 已接近饱和",
            "evidence": [
                {
                    "text": "4 个采样的均值 95.75% 高于目标 70%",
                    "series": "cpu_usage",
                    "numbers": {"mean": 95.75, "target": 70, "samples": [95, 96, 98, 94]},
                },
                {"text": "错误率从 5% 升到 41%"},
            ],
        }
    ],
    "plan": {
        "summary": "扩容一次",
        "actions": [
            {
                "kind": "scale",
                "service": "order-service",
                "params": {"replicas": 6},
                "summary": "将 order-service 扩容到 6 个副本",
                "expect": [
                    {
                        "observe": {"state": "ready_replicas"},
                        "is": "ge",
                        "value": 6,
                        "within_ms": 120_000,
                        "hold_ms": 30_000,
                    }
                ],
                "risk": "low",
                "undo": {
                    "by": {
                        "kind": "scale",
                        "target": {"service": "order-service", "group": "core", "executor": "k8s"},
                        "params": {"replicas": 4},
                    }
                },
            }
        ],
    },
    "assumptions": ["当前副本数未给出，按 4 个计算"],
    "evidence": ["4 × 95.75 / 70 = 5.47，向上取整为 6"],
}

Handler = Callable[[httpx.Request], httpx.Response]


def problem(status: int, **members: Any) -> httpx.Response:
    """An RFC 9457 answer."""
    headers = {"content-type": "application/problem+json"}
    if "retry_after" in members:
        headers["retry-after"] = str(members.pop("retry_after"))
    body = {"type": "about:blank", "title": "Title", "status": status, **members}
    return httpx.Response(status, content=json.dumps(body).encode(), headers=headers)


def events(*pairs: tuple[str, Any]) -> bytes:
    """Server-sent events, by name and data."""
    return b"".join(
        f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
        for name, data in pairs
    )


def streamed(*pairs: tuple[str, Any]) -> httpx.Response:
    """An answer of such events."""
    headers = {"content-type": "text/event-stream"}
    return httpx.Response(200, content=events(*pairs), headers=headers)


class Script:
    """A handler that gives one answer after the other, the last one for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)


class Client:
    """The client for threads or the one for asyncio; waits between tries are noted, not slept."""

    def __init__(self, kind: str, handler: Handler | None = None, **options: Any) -> None:
        self.waits: list[float] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        options.setdefault("api_key", KEY)
        if handler is not None:
            options["transport"] = httpx.MockTransport(handler)
        self.real: AutoClient | AsyncAutoClient
        if kind == "sync":
            self.real = AutoClient(**options)
            self.real._sleep = self.waits.append  # type: ignore[assignment]
            return
        self.real = AsyncAutoClient(**options)
        self._loop = asyncio.new_event_loop()

        async def sleep(wait: float) -> None:
            self.waits.append(wait)

        self.real._sleep = sleep  # type: ignore[assignment]

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.call("close")
        if self._loop is not None:
            self._loop.close()

    def call(self, method: str, *args: Any, **named: Any) -> Any:
        made = getattr(self.real, method)(*args, **named)
        return made if self._loop is None else self._loop.run_until_complete(made)

    def list(self, method: str, *args: Any, **named: Any) -> Sequence[Any]:
        made = getattr(self.real, method)(*args, **named)
        if self._loop is None:
            return list(made)

        async def gather() -> Sequence[Any]:
            return [item async for item in made]

        return self._loop.run_until_complete(gather())


class Server(ThreadingHTTPServer):
    """A server on loopback whose answers are steps: functions that get the request's handler."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.steps: list[Callable[[_Handler], None]] = []
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        #: Set when the test is over, so that no step outlives it.
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break here on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        steps = self.server.steps
        step = steps[min(len(self.server.seen), len(steps) - 1)]
        self.server.seen.append((self.command, self.path, headers, body))
        step(self)

    do_GET = do_DELETE = do_POST  # noqa: N815 - the interface

    def log_message(self, *args: Any) -> None:
        pass


def answers(body: Any, status: int = 200, **headers: str) -> Callable[[_Handler], None]:
    """Answers with JSON."""

    def step(handler: _Handler) -> None:
        content = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return step


def cuts(sent: bytes = b"") -> Callable[[_Handler], None]:
    """Sends some bytes and closes the connection."""

    def step(handler: _Handler) -> None:
        handler.wfile.write(sent)
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    return step


def hangs(handler: _Handler) -> None:
    """Sends nothing until the test is over."""
    handler.close_connection = True
    handler.server.over.wait(30)


def serving() -> Iterator[Server]:
    """A server, for as long as it is needed."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()
