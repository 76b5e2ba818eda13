from __future__ import annotations

import asyncio
import json
import uuid
from datetime import datetime, timezone
from typing import Any

import httpx
import pytest

from openautoglm import (
    AsyncAutoClient,
    AutoClient,
    ConfigurationError,
    ServerError,
    UnexpectedResponse,
)
from support import ANSWER, KEY, METRICS, Client, Script, problem


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("OPENAUTOGLM_API_KEY", raising=False)
    monkeypatch.delenv("OPENAUTOGLM_URL", raising=False)
    return monkeypatch


def test_settings_come_from_arguments_then_environment(kind: str, bare: pytest.MonkeyPatch) -> None:
    script = Script(httpx.Response(200, json=ANSWER))
    with Client(kind, script) as client:
        client.call("analyze", METRICS)
    bare.setenv("OPENAUTOGLM_URL", "https://oag.example/")
    bare.setenv("OPENAUTOGLM_API_KEY", "from-environment")
    with Client(kind, script, api_key=None) as client:
        client.call("analyze", METRICS)
    with Client(kind, script, base_url="http://[::1]:9") as client:
        client.call("analyze", METRICS)
    first, second, third = script.requests
    assert str(first.url) == "http://127.0.0.1:8080/api/v1/analyze"
    assert str(second.url) == "https://oag.example/api/v1/analyze"
    assert second.headers["authorization"] == "Bearer from-environment"
    assert str(third.url) == "http://[::1]:9/api/v1/analyze"
    assert third.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("kind_of", [AutoClient, AsyncAutoClient])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no API key: pass api_key, or set OPENAUTOGLM_API_KEY"),
        ({"api_key": ""}, "no API key: pass api_key, or set OPENAUTOGLM_API_KEY"),
        ({"api_key": "k", "base_url": ""}, "base_url: expected something like http"),
        ({"api_key": "k", "base_url": "127.0.0.1:8080"}, "base_url: expected something like http"),
        ({"api_key": "k", "base_url": "ftp://h"}, "base_url: expected something like http"),
        ({"api_key": "k", "base_url": "http://"}, "base_url: expected something like http"),
        ({"api_key": "k", "base_url": "http://h:x"}, "base_url: expected something like http"),
        ({"api_key": "k", "base_url": "http://h?a=1"}, "base_url: no user, password, query"),
        ({"api_key": "k", "timeout": 0}, "timeout: 0 is not above 0 seconds"),
        ({"api_key": "k", "timeout": float("nan")}, "timeout: nan is not above 0 seconds"),
        ({"api_key": "k", "retries": -1}, "retries: -1 is below 0"),
    ],
)
@pytest.mark.usefixtures("bare")
def test_settings_without_meaning_are_refused(
    kind_of: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        kind_of(**options)
    assert str(raised.value).startswith(message)


WELL = {"status": "ok", "failing": [], "components": [{"name": "store", "ok": True}]}
ILL = {
    "status": "failing",
    "failing": ["store"],
    "components": [{"name": "store", "ok": False, "detail": "does not answer"}],
}


def test_health_tells_what_is_wrong(kind: str) -> None:
    script = Script(httpx.Response(200, json=WELL), httpx.Response(503, json=ILL))
    with Client(kind, script) as client:
        well, ill = client.call("health"), client.call("health")
    assert script.requests[0].url.path == "/health/ready"
    assert well.ok
    assert (ill.ok, ill.failing) == (False, ["store"])
    assert ill.components[0].detail == "does not answer"
    assert client.waits == []


def test_health_of_something_else_is_an_error(kind: str) -> None:
    with Client(kind, Script(httpx.Response(503, text="no upstream"))) as client:
        with pytest.raises(ServerError, match="503: no upstream"):
            client.call("health")
        assert client.waits == []
    with Client(kind, Script(httpx.Response(200, text="hello"))) as client:
        with pytest.raises(UnexpectedResponse):
            client.call("health")


def test_signals(kind: str) -> None:
    script = Script(httpx.Response(202, json={"accepted": 2}), httpx.Response(204))
    at = datetime(2026, 11, 21, 8, tzinfo=timezone.utc)
    labels = {"service": "order-service"}
    with Client(kind, script) as client:
        taken = client.call(
            "signals",
            [
                {"name": "cpu_usage", "labels": labels, "at": at, "value": 95.5},
                {"name": "cpu_usage", "labels": labels, "at": 1_795_248_000_000, "value": None},
            ],
        )
        nothing = client.call("signals", iter([]))
    assert taken == {"accepted": 2}
    assert nothing is None
    first, second = script.requests
    assert (first.method, first.url.path) == ("POST", "/api/v1/signals")
    assert json.loads(first.content) == [
        {"name": "cpu_usage", "labels": labels, "at": "2026-11-21T08:00:00.000Z", "value": 95.5},
        {"name": "cpu_usage", "labels": labels, "at": 1_795_248_000_000, "value": None},
    ]
    assert second.content == b"[]"
    uuid.UUID(first.headers["idempotency-key"])
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (5, "signals[1]: expected name, labels, at and value"),
        ({"value": "5"}, "signals[1].value: expected a number or None, got str"),
        ({"at": 1.5}, "signals[1].at: expected a datetime"),
    ],
)
def test_wrong_signals_are_named(kind: str, signal: Any, message: str) -> None:
    with Client(kind, Script(httpx.Response(202))) as client:
        with pytest.raises(TypeError) as raised:
            client.call("signals", [{"name": "x", "value": 1}, signal])
        assert str(raised.value).startswith(message)


def page(items: list[Any], token: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"items": items, "next_page_token": token})


@pytest.mark.parametrize("what", ["plans", "stories"])
def test_lists_are_read_to_their_end(kind: str, what: str) -> None:
    last = httpx.Response(200, json={"items": [{"id": "3"}]})
    script = Script(page([{"id": "1"}, {"id": "2"}], "t/1+"), page([], "t2"), last)
    with Client(kind, script) as client:
        items = client.list(what, page_size=2, state="queued", service=None)
    assert [item["id"] for item in items] == ["1", "2", "3"]
    assert [request.url.path for request in script.requests] == [f"/api/v1/{what}"] * 3
    assert [dict(request.url.params) for request in script.requests] == [
        {"page_size": "2", "state": "queued"},
        {"page_size": "2", "state": "queued", "page_token": "t/1+"},
        {"page_size": "2", "state": "queued", "page_token": "t2"},
    ]


def test_a_list_is_read_only_as_far_as_asked() -> None:
    script = Script(page([{"id": "1"}], "t1"))
    with Client("sync", script) as client:
        assert isinstance(client.real, AutoClient)
        assert next(client.real.plans())["id"] == "1"
    assert len(script.requests) == 1


def test_a_list_that_goes_in_circles_ends(kind: str) -> None:
    with Client(kind, Script(page([], "again"))) as client:
        with pytest.raises(UnexpectedResponse, match="a page token that was not there before"):
            client.list("items", "/api/v1/tickets")


@pytest.mark.parametrize("body", [{}, {"items": None}, {"items": [], "next_page_token": 5}])
def test_what_is_no_page_is_refused(kind: str, body: Any) -> None:
    with Client(kind, Script(httpx.Response(200, json=body))) as client:
        with pytest.raises(UnexpectedResponse, match="a page with items"):
            client.list("plans")


def test_one_plan(kind: str) -> None:
    script = Script(httpx.Response(200, json={"id": "pln_1"}))
    with Client(kind, script) as client:
        assert client.call("plan", "pln_1") == {"id": "pln_1"}
        client.call("plan", "a/../b?c#d")
        for wrong in ("", ".", ".."):
            with pytest.raises(ValueError, match="is no id"):
                client.call("plan", wrong)
    paths = [request.url.raw_path for request in script.requests]
    assert paths == [b"/api/v1/plans/pln_1", b"/api/v1/plans/a%2F..%2Fb%3Fc%23d"]


def test_any_request(kind: str) -> None:
    script = Script(httpx.Response(200, json={"a": 1}, headers={"etag": '"7"'}))
    with Client(kind, script) as client:
        read = client.call("request", "get", "/api/v1/policies", params={"q": "x"})
        client.call(
            "request",
            "PUT",
            "/api/v1/policies/p",
            json={"b": 2},
            headers={"If-Match": '"7"', "authorization": "Bearer other"},
        )
        client.call("request", "POST", "/x", idempotency_key="mine")
        client.call("request", "POST", "/x", headers={"idempotency-key": "theirs"})
    assert (read.json(), read.headers["etag"]) == ({"a": 1}, '"7"')
    got, put, mine, theirs = script.requests
    assert (got.method, str(got.url)) == ("GET", "http://127.0.0.1:8080/api/v1/policies?q=x")
    assert "idempotency-key" not in got.headers
    assert "content-type" not in got.headers
    assert json.loads(put.content) == {"b": 2}
    assert put.headers["if-match"] == '"7"'
    assert put.headers["authorization"] == f"Bearer {KEY}"
    uuid.UUID(put.headers["idempotency-key"])
    assert mine.headers["idempotency-key"] == "mine"
    assert theirs.headers["idempotency-key"] == "theirs"


@pytest.mark.parametrize("path", ["", "x", "http://elsewhere.example/", "@elsewhere.example/"])
def test_no_path_leads_to_another_host(kind: str, path: str) -> None:
    script = Script(httpx.Response(200, json={}))
    with Client(kind, script) as client:
        with pytest.raises(ValueError, match="does not begin with '/'"):
            client.call("request", "GET", path)
        with pytest.raises(ValueError, match="does not begin with '/'"):
            client.list("items", path)
        client.call("request", "GET", "//elsewhere.example/")
        with pytest.raises(ValueError, match="path: "):
            client.call("request", "GET", "/\x00")
    assert [request.url.host for request in script.requests] == ["127.0.0.1"]


def test_a_closed_client_says_so(kind: str) -> None:
    client = Client(kind, Script(problem(200)))
    client.call("close")
    with pytest.raises(RuntimeError, match="closed"):
        client.call("analyze", METRICS)
    client.__exit__(None, None, None)


def test_context_managers() -> None:
    transport = httpx.MockTransport(Script(httpx.Response(200, json=WELL)))
    with AutoClient(KEY, transport=transport) as client:
        assert client.health().ok

    async def use() -> bool:
        async with AsyncAutoClient(KEY, transport=transport) as client:
            return (await client.health()).ok

    assert asyncio.run(use())
