from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from openautoglm import Analysis, InvalidInput, UnexpectedResponse
from support import ANSWER, KEY, METRICS, Client, Script, problem


def ok(body: Any) -> httpx.Response:
    return httpx.Response(200, json=body)


def test_the_request_is_the_one_of_the_contract(kind: str) -> None:
    script = Script(ok(ANSWER))
    with Client(kind, script, base_url="http://oag.example:8080/prefix/") as client:
        client.call(
            "analyze", METRICS, "大促期间订单服务出现延迟", service="s", replicas=4, step_ms=30_000
        )
        client.call("analyze", metrics=METRICS)
    full, bare = script.requests
    assert str(full.url) == "http://oag.example:8080/prefix/api/v1/analyze"
    assert full.method == "POST"
    assert full.headers["authorization"] == f"Bearer {KEY}"
    assert full.headers["content-type"] == "application/json"
    assert "idempotency-key" not in full.headers
    assert json.loads(full.content) == {
        "metrics": METRICS,
        "context": "大促期间订单服务出现延迟",
        "service": "s",
        "replicas": 4,
        "step_ms": 30_000,
    }
    assert json.loads(bare.content) == {"metrics": METRICS}


def test_the_answer_is_data(kind: str) -> None:
    with Client(kind, Script(ok(ANSWER))) as client:
        answer = client.call("analyze", METRICS)
    assert isinstance(answer, Analysis)
    assert answer.decision == "act"
    assert answer.action == "将 order-service 从 4 个副本扩容到 6 个副本"
    assert answer.plan is not None
    assert answer.plan.actions[0].params == {"replicas": 6}
    assert answer.findings[0].evidence[0].numbers["mean"] == 95.75
    assert answer.findings[0].evidence[1].series is None
    assert answer.model_dump(exclude_unset=True) == ANSWER


def test_what_a_newer_server_adds_is_kept(kind: str) -> None:
    newer = json.loads(json.dumps(ANSWER))
    newer["decision"] = "delegate"
    newer["horizon_s"] = 300
    newer["plan"]["cost"] = {"minor": 120, "currency": "CNY"}
    newer["findings"][0]["evidence"][0]["unit"] = "%"
    with Client(kind, Script(ok(newer))) as client:
        answer = client.call("analyze", METRICS)
    assert answer.model_dump(exclude_unset=True) == newer
    assert answer.horizon_s == 300
    assert "delegate" in answer.explain()


def test_calm_has_no_plan(kind: str) -> None:
    calm = {"action": "无需操作", "decision": "no_action", "confidence": 0.9, "plan": None}
    with Client(kind, Script(ok(calm))) as client:
        answer = client.call("analyze", METRICS)
    assert answer.plan is None
    assert (answer.findings, answer.assumptions, answer.evidence) == ([], [], [])


def test_empty_metrics_are_sent_and_the_server_says_what_is_wrong(kind: str) -> None:
    errors = [{"field": "metrics", "message": "name at least one series"}]
    detail = "metrics: name at least one series"
    refusal = problem(400, detail=detail, code="OAG-1001", request_id="req_1", errors=errors)
    script = Script(refusal)
    with Client(kind, script) as client, pytest.raises(InvalidInput) as raised:
        client.call("analyze", {})
    assert json.loads(script.requests[0].content) == {"metrics": {}}
    assert raised.value.errors == (("metrics", "name at least one series"),)
    assert raised.value.errors[0].field == "metrics"
    assert str(raised.value) == "400 OAG-1001: metrics: name at least one series [req_1]"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<html>", "a JSON object"),
        (b"", "a JSON object"),
        (b"[]", "a JSON object"),
        (b"\xff\xfe\xff", "a JSON object"),
        (b"[" * 100_000, "a JSON object"),
        (b"{}", "another analysis (action: Field required)"),
        (
            b'{"action":"x","decision":"act","confidence":"high"}',
            "another analysis (confidence: Input should be a valid number",
        ),
    ],
)
def test_another_answer_is_said_to_be_another(kind: str, body: bytes, what: str) -> None:
    script = Script(httpx.Response(200, content=body, headers={"content-type": "text/html"}))
    with Client(kind, script) as client, pytest.raises(UnexpectedResponse) as raised:
        client.call("analyze", METRICS)
    assert str(raised.value).startswith(f"POST /api/v1/analyze: expected {what}")
    assert "got status 200 with text/html" in str(raised.value)


def test_a_redirect_is_not_followed_with_the_key(kind: str) -> None:
    script = Script(httpx.Response(307, headers={"location": "http://elsewhere.example/"}))
    with Client(kind, script) as client, pytest.raises(Exception, match="307"):
        client.call("analyze", METRICS)
    assert len(script.requests) == 1
