from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm import APIError, ConnectionFailed, RateLimited, ServerError, Timeout
from openautoglm._retry import Attempts, retry_after_s
from support import ANSWER, METRICS, Client, Script, problem

OK = httpx.Response(200, json=ANSWER)
LOST: list[Exception] = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("no route"),
    httpx.ReadError("reset"),
    httpx.WriteError("broken pipe"),
    httpx.RemoteProtocolError("disconnected without sending a response"),
]


@pytest.mark.parametrize(
    "trouble", [*LOST, *(problem(status, detail="x") for status in (429, 502, 503, 504))]
)
def test_what_may_pass_is_tried_again(kind: str, trouble: httpx.Response | Exception) -> None:
    script = Script(trouble, trouble, OK)
    with Client(kind, script) as client:
        assert client.call("analyze", METRICS).decision == "act"
    assert len(script.requests) == 3
    first, second = client.waits
    assert 0.25 <= first <= 0.5
    assert 0.5 <= second <= 1.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 500, 501, 505])
def test_what_stays_is_not(kind: str, status: int) -> None:
    script = Script(problem(status, detail="x", retry_after=1))
    with Client(kind, script) as client:
        with pytest.raises(APIError):
            client.call("analyze", METRICS)
        assert (len(script.requests), client.waits) == (1, [])


@pytest.mark.parametrize("error", [httpx.ReadTimeout(""), httpx.WriteTimeout("")])
def test_a_slow_server_is_not_asked_twice(kind: str, error: Exception) -> None:
    script = Script(error)
    with Client(kind, script, timeout=3) as client:
        with pytest.raises(Timeout, match=r"no answer from http://127\.0\.0\.1:8080 within 3 s"):
            client.call("analyze", METRICS)
    assert len(script.requests) == 1


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_tries_have_an_end(kind: str, retries: int) -> None:
    lost, busy = Script(LOST[0]), Script(problem(503, detail="draining", code="OAG-1803"))
    with Client(kind, lost, retries=retries) as client, pytest.raises(ConnectionFailed):
        client.call("analyze", METRICS)
    with Client(kind, busy, retries=retries) as client, pytest.raises(ServerError) as raised:
        client.call("analyze", METRICS)
    assert raised.value.code == "OAG-1803"
    assert len(lost.requests) == len(busy.requests) == retries + 1
    assert all(wait <= 8 for wait in client.waits)


def test_an_effect_keeps_its_key_across_tries(kind: str) -> None:
    script = Script(LOST[4], problem(503), httpx.Response(202))
    with Client(kind, script) as client:
        client.call("signals", [{"name": "x", "value": 1}])
    keys = {request.headers["idempotency-key"] for request in script.requests}
    assert (len(script.requests), len(keys)) == (3, 1)
    assert len({request.content for request in script.requests}) == 1


def test_the_server_is_not_asked_earlier_than_it_wants(kind: str) -> None:
    script = Script(problem(429, retry_after=3), problem(503, retry_after=0), OK)
    with Client(kind, script) as client:
        client.call("analyze", METRICS)
    assert 3 <= client.waits[0] <= 3.3
    assert client.waits[1] == 0


def test_a_wait_that_is_too_long_is_left_to_the_caller(kind: str) -> None:
    script = Script(problem(429, retry_after=3_600))
    with Client(kind, script) as client:
        with pytest.raises(RateLimited) as raised:
            client.call("analyze", METRICS)
        assert raised.value.retry_after == 3_600
        assert (len(script.requests), client.waits) == (1, [])


def after(text: str) -> float | None:
    return retry_after_s(httpx.Response(429, headers={"retry-after": text}))


def test_both_forms_of_retry_after() -> None:
    assert after(" 5 ") == 5
    assert after("0") == 0
    assert after("9" * 400) == 1e9
    for unreadable in ("", "-5", "1.5", "soon", "nan", "Infinity", "1e3", "²"):
        assert retry_after_s(header(unreadable)) is None, unreadable
    now = datetime.now(timezone.utc)
    later = after(format_datetime(now + timedelta(seconds=20), usegmt=True))
    assert later is not None
    assert 18 <= later <= 20
    assert after(format_datetime(now - timedelta(hours=1), usegmt=True)) == 0
    assert retry_after_s(httpx.Response(429)) is None


def header(text: str) -> httpx.Response:
    return httpx.Response(429, headers=[(b"retry-after", text.encode())])


@given(st.binary(max_size=40))
def test_no_header_breaks_it(raw: bytes) -> None:
    wait = retry_after_s(httpx.Response(429, headers=[(b"retry-after", raw)]))
    assert wait is None or 0 <= wait <= 1e12


@given(st.integers(0, 30), st.lists(st.sampled_from([429, 503]), min_size=40, max_size=40))
def test_waits_are_bounded(retries: int, statuses: list[int]) -> None:
    attempts = Attempts(retries)
    waits = [attempts.wait_s(httpx.Response(status)) for status in statuses]
    assert [wait is not None for wait in waits] == [at < retries for at in range(40)]
    assert all(0 < wait <= 8 for wait in waits if wait is not None)
