"""The key shows up nowhere."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from typing import Any

import httpx
import pytest

from openautoglm import ConfigurationError, OpenAutoGLMError
from support import ANSWER, KEY, METRICS, Client, Script, problem


def all_of(error: BaseException) -> str:
    """The error as error trackers record it: chained, and with the variables of every frame."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format())


def test_repr_and_state(kind: str) -> None:
    with Client(kind, Script(httpx.Response(200, json=ANSWER))) as client:
        real = client.real
        shown = [repr(real), str(real), repr(real._core), repr(vars(real)), repr(vars(real._core))]
        assert KEY not in "".join(shown)
        assert "http://127.0.0.1:8080" in shown[0]
        for copied in (pickle.dumps, copy.deepcopy):
            for whole in (real, real._core):
                with pytest.raises(TypeError) as raised:
                    copied(whole)
                assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    "outcome",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.DecodingError("not gzip"),
        httpx.LocalProtocolError(f"Illegal header value b'Bearer {KEY}'"),
        problem(401, detail=f"no such key: {KEY}", title=KEY, request_id=KEY),
        problem(400, detail="d", errors=[{"field": KEY, "message": f"not {KEY}"}]),
        httpx.Response(500, text=f"Authorization: Bearer {KEY}"),
        httpx.Response(200, text=KEY),
        httpx.Response(200, json={**ANSWER, "confidence": KEY}),
    ],
)
def test_errors(
    kind: str, outcome: httpx.Response | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Client(kind, Script(outcome)) as client, pytest.raises(OpenAutoGLMError) as raised:
        client.call("analyze", METRICS)
    error = raised.value
    assert KEY not in f"{error}{error!r}{vars(error)}"
    assert KEY.encode() not in pickle.dumps(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert KEY not in "".join(str(vars(record)) for record in caplog.records)


def test_frames_of_a_lost_connection_do_not_hold_it(kind: str) -> None:
    # A port nobody listens on, reached through all the layers below.
    with Client(kind, base_url="http://127.0.0.1:1", retries=1) as client:
        with pytest.raises(OpenAutoGLMError) as raised:
            client.call("analyze", METRICS)
        told = all_of(raised.value)
        assert "outcome = ConnectError(" in told
        assert KEY not in told
        with pytest.raises(OpenAutoGLMError) as raised:
            client.list("generate_stream", "glm", "x")
        told = all_of(raised.value)
        assert "answer = <openautoglm._fleet.Answer" in told
        assert KEY not in told


def test_raw_responses_do_not_hold_it(kind: str) -> None:
    with Client(kind, Script(httpx.Response(200, json=[]))) as client:
        response = client.call("request", "GET", "/api/v1/anything?a=1", params={"b": "2"})
    assert isinstance(response, httpx.Response)
    assert "authorization" not in response.request.headers
    assert str(response.url).endswith("/api/v1/anything?a=1&b=2")
    assert KEY.encode() not in pickle.dumps(response)


@pytest.mark.parametrize("wrong", [f"{KEY}\n", f" {KEY}", f"{KEY}密", f"{KEY}\x7f"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(kind: str, wrong: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Client(kind, api_key=wrong)
    assert KEY not in str(raised.value)


def test_a_password_in_the_address_is_refused_unseen(kind: str) -> None:
    options: dict[str, Any] = {"base_url": "http://me:hunter2hunter2@host"}
    with pytest.raises(ConfigurationError) as raised:
        Client(kind, **options)
    assert "hunter2" not in str(raised.value)
