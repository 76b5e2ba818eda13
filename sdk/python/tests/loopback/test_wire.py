"""Against a real server over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from openautoglm import (
    AsyncAutoClient,
    AutoClient,
    ConnectionFailed,
    InvalidInput,
    OpenAutoGLMError,
    ServerError,
    Timeout,
)
from support import ANSWER, KEY, METRICS, Client, Server, answers, cuts, hangs

HALF = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"


def test_there_and_back(kind: str, server: Server) -> None:
    server.steps = [answers(ANSWER)]
    with Client(kind, base_url=server.url) as client:
        answer = client.call("analyze", METRICS, context="大促期间订单服务出现延迟")
    assert answer.action == ANSWER["action"]
    method, path, headers, body = server.seen[0]
    assert (method, path) == ("POST", "/api/v1/analyze")
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"].startswith("openautoglm-python/")
    assert json.loads(body)["context"] == "大促期间订单服务出现延迟"


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", HALF])
def test_a_cut_connection_is_made_anew(kind: str, server: Server, sent: bytes) -> None:
    server.steps = [cuts(sent), cuts(sent), answers(ANSWER)]
    with Client(kind, base_url=server.url) as client:
        assert client.call("analyze", METRICS).decision == "act"
    assert len(server.seen) == 3
    assert len(client.waits) == 2


def test_a_connection_that_is_always_cut_fails(kind: str, server: Server) -> None:
    server.steps = [cuts()]
    with Client(kind, base_url=server.url) as client, pytest.raises(ConnectionFailed) as raised:
        client.call("analyze", METRICS)
    assert len(server.seen) == 3
    assert server.url in str(raised.value)
    assert KEY not in str(raised.value)


def test_an_effect_cut_off_is_sent_again_under_its_key(kind: str, server: Server) -> None:
    server.steps = [cuts(HALF), answers({}, status=202)]
    with Client(kind, base_url=server.url) as client:
        client.call("signals", [{"name": "x", "value": 1}])
    keys = {headers["idempotency-key"] for _, _, headers, _ in server.seen}
    assert (len(server.seen), len(keys)) == (2, 1)


def test_nobody_there(kind: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(kind, base_url=url, retries=1) as client:
            with pytest.raises(ConnectionFailed, match=f"no connection to {url}"):
                client.call("health")
            assert len(client.waits) == 1


@pytest.mark.parametrize("sent", [b"", HALF])
def test_a_server_that_hangs_times_out_once(kind: str, server: Server, sent: bytes) -> None:
    def step(handler: object) -> None:
        handler.wfile.write(sent)  # type: ignore[attr-defined]
        hangs(handler)  # type: ignore[arg-type]

    server.steps = [step]
    began = time.monotonic()
    with Client(kind, base_url=server.url, timeout=0.2) as client, pytest.raises(Timeout):
        client.call("analyze", METRICS)
    assert 0.15 <= time.monotonic() - began < 5
    assert len(server.seen) == 1


def test_retry_after_is_slept(server: Server) -> None:
    server.steps = [answers({}, status=429, retry_after="1"), answers(ANSWER)]
    began = time.monotonic()
    with AutoClient(KEY, server.url) as client:
        client.analyze(METRICS)
    assert 0.95 <= time.monotonic() - began < 5


def test_it_is_slept_without_holding_up_the_loop(server: Server) -> None:
    server.steps = [answers({}, status=503, retry_after="1"), answers(ANSWER)]
    ticks = 0

    async def both() -> None:
        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.05)
                ticks += 1

        async with AsyncAutoClient(KEY, server.url) as client:
            ticking = asyncio.ensure_future(tick())
            await client.analyze(METRICS)
            ticking.cancel()

    asyncio.run(both())
    assert ticks >= 5


def test_errors_are_read(kind: str, server: Server) -> None:
    body = {
        "title": "The input is not valid",
        "status": 400,
        "detail": "metrics: name at least one series",
        "code": "OAG-1001",
        "request_id": "req_1",
        "errors": [{"field": "metrics", "message": "name at least one series"}],
    }
    server.steps = [answers(body, status=400)]
    with Client(kind, base_url=server.url) as client, pytest.raises(InvalidInput) as raised:
        client.call("analyze", {})
    assert raised.value.errors[0].field == "metrics"
    assert raised.value.request_id == "req_1"


def test_a_kept_connection_that_died_meanwhile_is_no_failure(kind: str, server: Server) -> None:
    def last(handler: object) -> None:
        answers(ANSWER)(handler)  # type: ignore[arg-type]
        handler.close_connection = True  # type: ignore[attr-defined]

    server.steps = [last]
    with Client(kind, base_url=server.url) as client:
        for _ in range(5):
            assert client.call("analyze", METRICS).decision == "act"
            time.sleep(0.02)


def test_large_bodies_go_through(kind: str, server: Server) -> None:
    server.steps = [answers({**ANSWER, "evidence": ["x" * 1_000] * 2_000})]
    with Client(kind, base_url=server.url) as client:
        answer = client.call("analyze", {"m": [float(at) for at in range(300_000)]})
    assert len(answer.evidence) == 2_000
    assert len(json.loads(server.seen[0][3])["metrics"]["m"]) == 300_000


def test_threads_share_a_client(server: Server) -> None:
    server.steps = [answers(ANSWER)]
    with AutoClient(KEY, server.url) as client, ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda at: client.analyze({"m": [at]}).decision, range(64)))
    assert got == ["act"] * 64
    bodies = sorted(json.loads(body)["metrics"]["m"][0] for _, _, _, body in server.seen)
    assert bodies == list(range(64))


def test_a_proxy_in_the_environment_is_not_asked_for_loopback(
    kind: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.steps = [answers(ANSWER)]
    with Client(kind, base_url=server.url, retries=0) as client:
        assert client.call("analyze", METRICS).decision == "act"
    local = server.url.replace("127.0.0.1", "localhost")
    with Client(kind, base_url=local, retries=0) as client:
        assert client.call("analyze", METRICS).decision == "act"


def test_noise_instead_of_http(kind: str, server: Server) -> None:
    server.steps = [cuts(b"\x16\x03\x01 not http at all\r\n\r\n")]
    with Client(kind, base_url=server.url) as client, pytest.raises(ConnectionFailed):
        client.call("analyze", METRICS)


def test_a_server_that_comes_back_is_found_again(kind: str, server: Server) -> None:
    server.steps = [answers({}, status=503), answers(ANSWER)]
    with Client(kind, base_url=server.url, retries=0) as client:
        with pytest.raises(ServerError):
            client.call("analyze", METRICS)
        assert client.call("analyze", METRICS).decision == "act"


def test_closing_while_another_thread_waits(server: Server) -> None:
    server.steps = [hangs]
    client = AutoClient(KEY, server.url, timeout=0.3, retries=0)
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            client.analyze(METRICS)
        except (OpenAutoGLMError, RuntimeError) as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.05)
    client.close()
    asking.join(5)
    assert not asking.is_alive()
    assert len(failures) == 1
