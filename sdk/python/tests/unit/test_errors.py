from __future__ import annotations

import contextlib
import copy
import json
import pickle
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import openautoglm
from openautoglm import APIError, AutoClient, OpenAutoGLMError
from support import KEY, METRICS, Client, Script, problem


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "InvalidInput"),
        (401, "AuthenticationError"),
        (403, "PermissionDenied"),
        (404, "NotFound"),
        (405, "APIError"),
        (409, "Conflict"),
        (412, "APIError"),
        (413, "InvalidInput"),
        (422, "InvalidInput"),
        (429, "RateLimited"),
        (500, "ServerError"),
        (502, "ServerError"),
        (503, "ServerError"),
        (599, "ServerError"),
    ],
)
def test_every_status_has_its_class(kind: str, status: int, name: str) -> None:
    script = Script(problem(status, detail="why", code="OAG-1001", request_id="req_1"))
    with Client(kind, script, retries=0) as client, pytest.raises(APIError) as raised:
        client.call("analyze", METRICS)
    error = raised.value
    assert type(error) is getattr(openautoglm, name)
    assert (error.status, error.code, error.detail) == (status, "OAG-1001", "why")
    assert (error.title, error.request_id, error.errors) == ("Title", "req_1", ())
    assert str(error) == f"{status} OAG-1001: why [req_1]"


def test_rate_limits_say_when(kind: str) -> None:
    script = Script(problem(429, detail="slow down", retry_after=7))
    with Client(kind, script, retries=0) as client:
        with pytest.raises(openautoglm.RateLimited) as raised:
            client.call("analyze", METRICS)
        assert raised.value.retry_after == 7


@pytest.mark.parametrize(
    ("body", "media", "message"),
    [
        (b"<html>bad</html>", "text/html", "500: Internal Server Error"),
        (b"upstream gone\n", "text/plain; charset=utf-8", "500: upstream gone"),
        (b"", "", "500: Internal Server Error"),
        (b"[1]", "application/json", "500: Internal Server Error"),
        (b'{"errors": "no list", "detail": 5}', "application/json", "500: Internal Server Error"),
        (b'{"errors": [1, {}], "detail": "d"}', "application/json", "500: d"),
        (b'{"error": {"message": "m", "code": "c"}}', "application/json", "500 c: m"),
        (b"x" * 9_000, "text/plain", f"500: {'x' * 500}"),
    ],
)
def test_errors_of_others_are_read_as_far_as_they_go(body: bytes, media: str, message: str) -> None:
    response = httpx.Response(500, content=body, headers={"content-type": media})
    with Client("sync", Script(response)) as client, pytest.raises(APIError) as raised:
        client.call("analyze", METRICS)
    assert str(raised.value) == message


def test_every_wrong_field_is_in_the_message() -> None:
    errors = [{"field": "a", "message": "x"}, {"field": "b", "message": "y"}]
    script = Script(problem(422, detail="a: x", code="OAG-1001", errors=errors))
    with Client("sync", script) as client, pytest.raises(APIError) as raised:
        client.call("analyze", METRICS)
    assert str(raised.value) == "422 OAG-1001: a: x; b: y"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
members = st.dictionaries(
    st.sampled_from(["type", "title", "detail", "code", "request_id", "errors", "error", "action"]),
    json_values,
)


@given(
    st.integers(200, 599),
    st.binary(max_size=60) | members.map(lambda body: json.dumps(body).encode()),
    st.sampled_from(["application/json", "application/problem+json", "text/plain", "", "é"]),
    st.none() | st.text(st.characters(codec="ascii", exclude_characters="\r\n\0"), max_size=12),
)
def test_no_answer_makes_anything_but_our_errors(
    status: int, body: bytes, media: str, retry_after: str | None
) -> None:
    headers = [("content-type", media.encode())]
    if retry_after is not None:
        headers.append(("retry-after", retry_after.encode()))

    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body, headers=headers)  # type: ignore[arg-type]

    with AutoClient(KEY, transport=httpx.MockTransport(handler), retries=0) as client:
        for call in (client.health, lambda: client.analyze(METRICS), lambda: client.plan("p")):
            with contextlib.suppress(OpenAutoGLMError):
                call()


@pytest.mark.parametrize(
    "error",
    [
        openautoglm.RateLimited(429, code="OAG-1701", detail="later", retry_after=3.0),
        openautoglm.InvalidInput(400, errors=(openautoglm.FieldError("f", "m"),), request_id="r"),
        openautoglm.Timeout("no answer"),
        openautoglm.ConfigurationError("no key"),
    ],
)
def test_errors_travel_between_processes(error: OpenAutoGLMError) -> None:
    copies: list[Any] = [pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)]
    for other in copies:
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)
