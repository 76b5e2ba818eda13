from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from openautoglm import (
    AutoClient,
    ConnectionFailed,
    Delta,
    InvalidInput,
    NotFound,
    OpenAutoGLMError,
    ServerError,
    Timeout,
    UnexpectedResponse,
)
from openautoglm._events import EVENT_BYTES_MAX
from support import KEY, Client, Script, events, problem, streamed

NODE = {
    "name": "w1",
    "role": "worker",
    "state": "ready",
    "state_for_ms": 10,
    "joined_at": "2026-11-21T08:00:00.123Z",
    "heard_ms": 5,
    "heartbeat_ms": 5000,
    "version": "0.1.0",
    "groups": ["gpu"],
    "capabilities": [],
    "endpoint": None,
    "cpu": 0.5,
    "models": [
        {
            "name": "glm",
            "about": "glm at http://u/v1",
            "slots": 8,
            "busy": 1,
            "waiting": 0,
            "tokens_per_s": 12.5,
            "window_tokens": 8192,
            "slowness": 1.0,
            "latency_s": 0.25,
        }
    ],
    "leases": [
        {
            "task": "gen_1",
            "model": "glm",
            "tenant": "default",
            "node": "w1",
            "attempt": 1,
            "tokens": 9,
            "runs_ms": 700,
        }
    ],
    "not_known_yet": 1,
}
MODEL = {"name": "glm", "nodes": ["w1"], "slots": 8, "busy": 1, "waiting": 0, "window_tokens": 8192}
QUEUE = {
    "model": "glm",
    "policy": "balanced",
    "waiting": 1,
    "tokens": 300,
    "expected_wait_ms": 40,
    "slots": 8,
    "busy": 1,
    "next": [
        {
            "task": "gen_2",
            "tenant": "default",
            "class": "interactive",
            "waited_ms": 3,
            "work_ms": 90,
            "reason": "shortest",
        }
    ],
    "running": NODE["leases"],
}
DELTA = ("delta", {"text": "Once "})
END = ("end", {"finish": "stop", "prompt_tokens": 3, "answer_tokens": 2})


class Array:
    """As numpy's, in what matters."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        return self.values


def items(*values: Any) -> httpx.Response:
    return httpx.Response(200, json={"items": values})


def test_the_fleet_is_read(kind: str) -> None:
    node = httpx.Response(200, json=NODE)
    group = {"name": "gpu", "nodes": 3, "connected": 2, "ready": 1, "slots": 4, "busy": 2}
    script = Script(items(NODE), node, items(MODEL), items(QUEUE), items(), items(group))
    with Client(kind, script) as client:
        (listed,), one = client.call("nodes"), client.call("node", "w/1")
        (model,), (queue,) = client.call("models"), client.call("queues", 5)
        assert client.call("queues") == []
        (gpu,) = client.call("node_groups")
    assert (gpu.name, gpu.ready, gpu.models) == ("gpu", 1, [])
    assert listed == one
    assert (one.state, one.joined_at.microsecond, one.model_extra) == (
        "ready",
        123_000,
        {"not_known_yet": 1},
    )
    assert (one.models[0].latency_s, one.leases[0].runs_ms, one.memory) == (0.25, 700, None)
    assert (model.name, model.nodes) == ("glm", ["w1"])
    assert (queue.next[0].class_, queue.next[0].reason) == ("interactive", "shortest")
    assert queue.running == one.leases
    assert [request.url.raw_path for request in script.requests] == [
        b"/api/v1/nodes",
        b"/api/v1/nodes/w%2F1",
        b"/api/v1/models",
        b"/api/v1/queues?most=5",
        b"/api/v1/queues",
        b"/api/v1/node-groups",
    ]


@pytest.mark.parametrize("what", ["cordon", "uncordon", "disconnect"])
def test_what_is_done_to_nodes_is_done_once(kind: str, what: str) -> None:
    script = Script(problem(503), httpx.Response(200, json=NODE))
    with Client(kind, script) as client:
        assert client.call(f"{what}_node", "w1", "a fan is loud").name == "w1"
        for wrong in ("", ".", ".."):
            with pytest.raises(ValueError, match="is no name"):
                client.call(f"{what}_node", wrong, "why")
    first, second = script.requests
    assert (first.method, first.url.path) == ("POST", f"/api/v1/nodes/w1/{what}")
    assert json.loads(first.content) == {"reason": "a fan is loud"}
    uuid.UUID(first.headers["idempotency-key"])
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


@pytest.mark.parametrize("body", [{}, {"items": {}}, {"items": [5]}, {"items": [{"name": "x"}]}])
def test_what_is_no_list_of_nodes_is_refused(kind: str, body: Any) -> None:
    with Client(kind, Script(httpx.Response(200, json=body))) as client:
        with pytest.raises(UnexpectedResponse, match="/api/v1/nodes: expected"):
            client.call("nodes")


def test_a_model_is_asked(kind: str) -> None:
    body = {"model": "zai/glm", "text": "!", "reasoning": "", "finish": "length"}
    script = Script(httpx.Response(200, json=body))
    said = [{"role": "user", "content": "你好"}]
    with Client(kind, script, timeout=3) as client:
        answer = client.call("generate", "zai/glm", "Once", max_tokens=2, temperature=0, stop=["."])
        options = {"top_p": 0.5, "seed": 7, "urgency": "batch", "timeout": 33}
        client.call("generate", "glm", messages=iter(said), **options)
        with pytest.raises(TypeError, match="stop: expected texts in a list"):
            client.call("generate", "glm", "x", stop="no")
        with pytest.raises(TypeError, match="max_new_tokens"):
            client.call("generate", "glm", "x", max_new_tokens=5)
        with pytest.raises(ValueError, match="timeout: 0 is not above 0"):
            client.call("generate", "glm", "x", timeout=0)
    assert (answer.text, answer.finish, answer.answer_tokens) == ("!", "length", None)
    first, second = script.requests
    assert first.url.raw_path == b"/api/v1/models/zai%2Fglm/generate"
    assert json.loads(first.content) == {
        "prompt": "Once",
        "max_tokens": 2,
        "temperature": 0,
        "stop": ["."],
    }
    wanted = {"messages": said, "top_p": 0.5, "seed": 7, "urgency": "batch"}
    assert json.loads(second.content) == wanted
    # Who waits in a queue says nothing for long; who cannot be reached is known soon.
    assert first.extensions["timeout"]["read"] > 600
    assert first.extensions["timeout"]["connect"] == 3
    assert second.extensions["timeout"]["read"] == 33


def test_late_answers_say_how_long_was_waited(kind: str) -> None:
    with Client(kind, Script(httpx.ReadTimeout("")), timeout=3) as client:
        with pytest.raises(Timeout, match="within 33 s"):
            client.call("generate", "glm", "x", timeout=33)
        with pytest.raises(Timeout, match="within 33 s"):
            client.list("generate_stream", "glm", "x", timeout=33)


def test_tokens_there_and_back(kind: str) -> None:
    script = Script(
        httpx.Response(200, json={"tokens": [1, 2]}), httpx.Response(200, json={"text": "ab"})
    )
    with Client(kind, script) as client:
        assert client.call("tokenize", "glm", "ab") == [1, 2]
        assert client.call("detokenize", "glm", (1, 2)) == "ab"
        for wrong in ("ab", 5, [1.5], [None], [[1, 2]], {1}):
            with pytest.raises(TypeError, match=r"^tokens"):
                client.call("detokenize", "glm", wrong)
        with pytest.raises(ValueError, match=r"tokens\[1\]: -1 is below 0"):
            client.call("detokenize", "glm", [0, -1])
    first, second = script.requests
    assert (first.url.path, json.loads(first.content)) == (
        "/api/v1/models/glm/tokenize",
        {"text": "ab"},
    )
    assert (second.url.path, json.loads(second.content)) == (
        "/api/v1/models/glm/detokenize",
        {"tokens": [1, 2]},
    )


def test_predictions(kind: str) -> None:
    several = {"label": [[1], [0]], "p": [[0.25, 0.75], [1, 0]]}
    script = Script(
        httpx.Response(200, json={"model": "iris", "prediction": [[0.5]]}),
        httpx.Response(
            200, json={"model": "iris", "prediction": several["label"], "outputs": several}
        ),
        httpx.Response(200, json={"model": "iris"}),
    )
    with Client(kind, script) as client:
        one = client.call("predict", "iris", (1, 2.5))
        both = client.call("predict", "iris", [Array([1, 2]), [3.5, -4e300]])
        with pytest.raises(UnexpectedResponse):
            client.call("predict", "iris", Array([[1]]))
        for wrong in ("ab", 5, ["a"], [["a"]], [[[1]]], {"a": 1}, {1}):
            with pytest.raises(TypeError, match=r"^features"):
                client.call("predict", "iris", wrong)
        for lacking, place in (([1, float("nan")], r"\[1\]"), ([[1], [None]], r"\[1\]\[0\]")):
            with pytest.raises(ValueError, match=f"^features{place}: expected a finite"):
                client.call("predict", "iris", lacking)
    assert (one.model, one.prediction, one.outputs) == ("iris", [[0.5]], None)
    assert (both.prediction, both.outputs) == ([[1], [0]], several)
    sent = [(request.url.path, json.loads(request.content)) for request in script.requests]
    path = "/api/v1/models/iris/predict"
    assert sent == [
        (path, {"features": [1, 2.5]}),
        (path, {"features": [[1, 2], [3.5, -4e300]]}),
        (path, {"features": [[1]]}),
    ]


@pytest.mark.parametrize("body", [{}, {"tokens": ["1"], "text": 1}, {"tokens": [True]}, []])
def test_what_are_no_tokens_is_refused(kind: str, body: Any) -> None:
    with Client(kind, Script(httpx.Response(200, json=body))) as client:
        with pytest.raises(UnexpectedResponse):
            client.call("tokenize", "glm", "x")
        with pytest.raises(UnexpectedResponse):
            client.call("detokenize", "glm", [1])


def read(client: Client, *args: Any, **named: Any) -> tuple[list[Delta], Any]:
    """All pieces, and the stream."""
    made: list[Any] = []
    real = client.real.generate_stream

    def keep(*args: Any, **named: Any) -> Any:
        made.append(real(*args, **named))
        return made[0]

    client.real.generate_stream = keep  # type: ignore[method-assign]
    deltas = client.list("generate_stream", *args, **named)
    return list(deltas), made[0]


def test_an_answer_comes_in_pieces(kind: str) -> None:
    thought = ("delta", {"text": "", "reasoning": "hm\u2028"})
    unknown = ("news", {"a": 1})
    script = Script(problem(503), streamed(thought, DELTA, unknown, DELTA, END, DELTA))
    with Client(kind, script) as client:
        deltas, stream = read(client, "glm", "x", max_tokens=9)
    assert [(delta.reasoning, delta.text) for delta in deltas] == [
        ("hm\u2028", ""),
        ("", "Once "),
        ("", "Once "),
    ]
    assert (stream.end.finish, stream.end.prompt_tokens, stream.end.answer_tokens) == ("stop", 3, 2)
    request = script.requests[1]
    assert json.loads(request.content) == {"prompt": "x", "max_tokens": 9, "stream": True}
    assert request.headers["accept"].startswith("text/event-stream")
    assert len(client.waits) == 1


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Knows whether it was closed."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield self.content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("last", [END, ("error", {"status": 503}), ("end", []), DELTA])
def test_every_way_out_closes_the_answer(kind: str, last: tuple[str, Any]) -> None:
    body = Body(events(DELTA, last))

    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)

    with Client(kind, handler) as client:
        with contextlib.suppress(OpenAutoGLMError):
            client.list("generate_stream", "glm", "x")
        assert body.closed


def test_refusals_are_read_and_closed(kind: str) -> None:
    bodies = [Body(b'{"detail": "busy"}'), Body(b'{"detail": "no"}')]
    left = list(bodies)

    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(503 if len(left) > 1 else 400, stream=left.pop(0))

    with Client(kind, handler) as client:
        with pytest.raises(InvalidInput, match="400: no"):
            client.list("generate_stream", "glm", "x")
    assert [body.closed for body in bodies] == [True, True]


def test_nothing_is_sent_before_the_first_piece_is_wanted() -> None:
    script = Script(streamed(DELTA, END))
    with Client("sync", script) as client:
        assert isinstance(client.real, AutoClient)
        with client.real.generate_stream("glm", "x") as stream:
            assert stream.end is None
        assert list(stream) == []
    assert script.requests == []


def test_errors_before_and_within_an_answer_are_the_same(kind: str) -> None:
    body = {"status": 503, "code": "OAG-1804", "detail": f"it is gone {KEY}", "request_id": "req_1"}
    script = Script(
        problem(404, code="OAG-1302", detail="no model is loaded"),
        streamed(DELTA, ("error", body)),
        streamed(("error", {"detail": "what?"})),
        streamed(("error", {"status": 400, "errors": [{"field": "prompt", "message": "no"}]})),
    )
    with Client(kind, script, retries=0) as client:
        with pytest.raises(NotFound, match="OAG-1302: no model is loaded"):
            client.list("generate_stream", "glm", "x")
        with pytest.raises(ServerError) as raised:
            client.list("generate_stream", "glm", "x")
        with pytest.raises(ServerError, match=r"500: what\?"):
            client.list("generate_stream", "glm", "x")
        with pytest.raises(InvalidInput) as refused:
            client.list("generate_stream", "glm", "x")
    error = raised.value
    assert (error.status, error.code, error.request_id) == (503, "OAG-1804", "req_1")
    assert error.detail == "it is gone [api key]"
    assert refused.value.errors[0].field == "prompt"


def test_an_answer_without_end_broke_off(kind: str) -> None:
    with Client(kind, Script(streamed(DELTA))) as client:
        with pytest.raises(ConnectionFailed, match="broke off before its end"):
            client.list("generate_stream", "glm", "x")


ENDLESS = httpx.Response(
    200, content=b"x" * (EVENT_BYTES_MAX + 1), headers={"content-type": "text/event-stream"}
)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (httpx.Response(200, json={"text": "whole"}), "server-sent events"),
        (streamed(("delta", [])), "JSON in the event delta"),
        (streamed(("delta", {"text": 5})), "another delta"),
        (streamed(("end", {})), "another ending"),
        (streamed(("error", "?")), "JSON in the event error"),
        (ENDLESS, "shorter events"),
    ],
)
def test_what_is_no_answer_is_refused(kind: str, answer: httpx.Response, wanted: str) -> None:
    with Client(kind, Script(answer)) as client:
        with pytest.raises(UnexpectedResponse, match=wanted) as raised:
            client.list("generate_stream", "glm", "x")
    assert raised.value.__context__ is None
