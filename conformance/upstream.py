"""A server with OpenAI's protocol whose answers are known: numbers, one after the other.

What a request asks for can be seen in the answer: a call where one is required, JSON where a
schema is given, probabilities where they are wanted.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Tokens of an answer that nothing bounds.
TOKENS = 40
#: Between two parts of an answer that is asked for in a slow voice.
PAUSE_S = 0.02


class Upstream(ThreadingHTTPServer):
    """The server; what it was asked, and how many answers are being given."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.open = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked went away: that is tested."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        request = json.loads(self.rfile.read(length))
        with self.server.lock:
            self.server.asked.append(request)
            self.server.open += 1
        try:
            if self.path == "/v1/embeddings":
                self.embed(request)
            else:
                self.answer(request, chat=self.path == "/v1/chat/completions")
        finally:
            with self.server.lock:
                self.server.open -= 1

    def embed(self, request: dict[str, Any]) -> None:
        texts = request["input"]
        texts = [texts] if isinstance(texts, str) else texts
        data = [
            {"object": "embedding", "index": at, "embedding": [float(len(text)), 0.25]}
            for at, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        self.send({"object": "list", "data": data, "model": request["model"], "usage": usage})

    def answer(self, request: dict[str, Any], *, chat: bool) -> None:
        parts, finish = said(request)
        usage = {
            "prompt_tokens": 5,
            "completion_tokens": len(parts),
            "total_tokens": 5 + len(parts),
        }
        begin = {"id": "x", "created": 1, "model": request["model"]}
        if not request.get("stream"):
            choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
            if chat:
                choice["message"] = whole(parts)
            else:
                choice["text"] = "".join(part["content"] for part in parts)
            if request.get("logprobs"):
                choice["logprobs"] = probabilities(parts)
            self.send({**begin, "choices": [choice], "usage": usage})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        slow = "slowly" in json.dumps(request)
        for part in parts:
            choice = {"index": 0, "finish_reason": None}
            if chat:
                choice["delta"] = part
            else:
                choice["text"] = part["content"]
            if request.get("logprobs"):
                choice["logprobs"] = probabilities([part])
            self.event({**begin, "choices": [choice]})
            if slow:
                threading.Event().wait(PAUSE_S)
        last = {"index": 0, "finish_reason": finish, **({"delta": {}} if chat else {"text": ""})}
        self.event({**begin, "choices": [last]})
        self.event({**begin, "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, document: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(document).encode() + b"\n\n")
        self.wfile.flush()

    def send(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def said(request: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The parts of an answer, and why it ends."""
    choice = request.get("tool_choice")
    called = None
    if isinstance(choice, dict):
        called = choice["function"]["name"]
    elif choice == "required":
        called = request["tools"][0]["function"]["name"]
    if called is not None:
        function = {"name": called, "arguments": ""}
        first = {"index": 0, "id": "call_1", "type": "function", "function": function}
        rest = [
            {"index": 0, "function": {"arguments": arguments}}
            for arguments in ('{"city": ', '"上海"}')
        ]
        return [{"tool_calls": [call]} for call in [first, *rest]], "tool_calls"
    form = request.get("response_format", {}).get("type", "text")
    if form != "text":
        return [{"content": part} for part in ('{"city": "上海",', ' "count": 3}')], "stop"
    most = request.get("max_tokens") or request.get("max_completion_tokens") or TOKENS
    stops = request.get("stop") or []
    stops = [stops] if isinstance(stops, str) else stops
    parts: list[dict[str, Any]] = []
    for number in range(TOKENS):
        if len(parts) == most:
            return parts, "length"
        if any(stop.strip() == str(number) for stop in stops):
            return parts, "stop"
        parts.append({"content": f"{number} "})
    return parts, "stop"


def whole(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """A message of all parts."""
    calls = [call for part in parts for call in part.get("tool_calls", [])]
    if not calls:
        return {"role": "assistant", "content": "".join(part["content"] for part in parts)}
    first = calls[0]
    first["function"]["arguments"] = "".join(call["function"]["arguments"] for call in calls)
    return {"role": "assistant", "content": None, "tool_calls": [first]}


def probabilities(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One for each part."""
    content = [
        {
            "token": part["content"],
            "logprob": -0.5,
            "bytes": None,
            "top_logprobs": [{"token": part["content"], "logprob": -0.5, "bytes": None}],
        }
        for part in parts
    ]
    return {"content": content}
