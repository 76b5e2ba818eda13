"""Against a running server: ``pytest tests/live``."""

from __future__ import annotations

import json
import math
import os
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from openautoglm import (
    Analysis,
    AuthenticationError,
    AutoClient,
    InvalidInput,
    NotFound,
    RateLimited,
)
from support import METRICS, Client

pytestmark = pytest.mark.live

CONTEXT = "大促期间订单服务出现延迟"
SETS = 200
SEED = int(os.environ.get("OPENAUTOGLM_SEED") or time.time_ns() % 2**32)


@pytest.fixture(scope="session")
def live() -> None:
    """Fails where no server is named: a run that skips everything would look like a good one."""
    missing = [
        name for name in ("OPENAUTOGLM_URL", "OPENAUTOGLM_API_KEY") if not os.environ.get(name)
    ]
    if missing:
        pytest.fail(
            f"set {' and '.join(missing)}: these tests need a running server", pytrace=False
        )


@pytest.fixture
def client(live: None, kind: str) -> Iterator[Client]:  # noqa: ARG001 - order
    with Client(kind, api_key=None, timeout=30) as client:
        yield client


@pytest.fixture
def once(live: None) -> Iterator[AutoClient]:  # noqa: ARG001 - order
    """Tries nothing twice, so that no failure of the server stays unseen."""
    with AutoClient(timeout=30, retries=0) as client:
        yield client


def numbers_in(text: str) -> set[float]:
    return {float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)}


def check_invariants(answer: Analysis) -> None:
    assert answer.decision in {"act", "no_action", "ask"}
    assert answer.language in {"zh", "en"}
    assert answer.action.strip()
    assert 0 <= answer.confidence <= 1
    assert all(0 <= finding.confidence <= 1 for finding in answer.findings)
    assert (answer.decision == "act") <= (answer.plan is not None)
    assert (answer.decision == "no_action") <= (answer.plan is None)
    if answer.plan is not None:
        assert answer.plan.actions
        for action in answer.plan.actions:
            replicas = action.params.get("replicas")
            if replicas is not None:
                assert isinstance(replicas, int)
                assert replicas >= 0
        if answer.decision == "act" and answer.action_kind == "scale":
            check_replicas(answer)
    assert answer.action in answer.explain()


def check_replicas(answer: Analysis) -> None:
    """The sentence and the plan speak of the same number."""
    assert answer.plan is not None
    planned = [action for action in answer.plan.actions if action.kind == "scale"]
    assert planned
    for action in planned:
        assert action.params["replicas"] in numbers_in(answer.action)


def test_it_is_ready(client: Client) -> None:
    health = client.call("health")
    assert health.ok, health


def test_the_example(client: Client) -> None:
    answer = client.call("analyze", METRICS, context=CONTEXT)
    check_invariants(answer)
    assert answer.decision == "act"
    assert answer.action_kind == "scale_up"
    check_replicas(answer)
    assert answer.language == "zh"
    assert re.search(r"[\u4e00-\u9fff]", answer.action)
    assert answer.service
    assert answer.service in answer.action
    assert answer.findings
    assert any(evidence.numbers for finding in answer.findings for evidence in finding.evidence)
    assert answer.assumptions, "nobody said how many replicas there are"
    assert all(action.undo is not None for action in answer.plan.actions)


def test_the_example_in_english(client: Client) -> None:
    answer = client.call(
        "analyze", METRICS, context="order-service is slow during the sale", replicas=4
    )
    check_invariants(answer)
    assert answer.language == "en"
    assert not re.search(r"[\u4e00-\u9fff]", answer.action)


def test_the_same_question_has_the_same_answer(client: Client) -> None:
    first, second = (client.call("analyze", METRICS, context=CONTEXT) for _ in range(2))
    assert (first.action, first.decision) == (second.action, second.decision)
    assert first.confidence == second.confidence


def test_calm_metrics_need_nothing_and_it_says_why(client: Client) -> None:
    seeded = random.Random(7)
    calm = {
        "cpu_usage": [40 + seeded.uniform(-1, 1) for _ in range(60)],
        "request_rate": [1_000 + seeded.uniform(-20, 20) for _ in range(60)],
        "error_rate": [0.001] * 60,
    }
    answer = client.call("analyze", calm, service="order-service", replicas=4)
    check_invariants(answer)
    assert answer.decision == "no_action"
    reasons = [*answer.evidence, *(finding.summary for finding in answer.findings)]
    assert any(reason.strip() for reason in reasons), answer


def some_series(seeded: random.Random, length: int) -> list[float | None]:
    scale = 10 ** seeded.uniform(-3, 6)
    slope = seeded.choice([0, 0, seeded.uniform(-1, 1)])
    noise = seeded.choice([0, 0.01, 0.2, 3])
    series: list[float | None] = [
        scale * (1 + slope * at / max(1, length) + noise * seeded.gauss(0, 1))
        for at in range(length)
    ]
    for at in range(length):
        if seeded.random() < 0.03:
            series[at] = seeded.choice([None, math.nan, math.inf, -math.inf, 0.0, 1e300, -scale])
    return series


def some_question(seeded: random.Random) -> dict[str, Any]:
    known = ["cpu_usage", "request_rate", "error_rate", "memory_usage", "latency_p99_ms"]
    names = seeded.sample([*known, "队列长度", "x", ""], seeded.randint(1, 5))
    length = seeded.choice([0, 1, 2, 4, 10, 60, 300])
    metrics: dict[str, Any] = {}
    for name in names:
        own = length if seeded.random() < 0.9 else seeded.randint(0, 400)
        values = some_series(seeded, own)
        if name == "cpu_usage" and seeded.random() < 0.7:
            values = [seeded.uniform(0, 100) for _ in range(own)]
        if name == "error_rate" and seeded.random() < 0.7:
            values = [seeded.random() for _ in range(own)]
        metrics[name] = values
    options: dict[str, Any] = {
        "context": seeded.choice([None, "", CONTEXT, "checkout is slow", "a\n" * 50, "🛒 %s {}"]),
        "service": seeded.choice([None, None, "order-service", "no such service", ""]),
        "replicas": seeded.choice([None, None, 0, 1, 4, 1_000, -1, 2**40]),
        "step_ms": seeded.choice([None, None, 1_000, 30_000, 0, -5]),
    }
    return {"metrics": metrics, **options}


def patiently(client: AutoClient, question: dict[str, Any]) -> Analysis | None:
    """The answer; None where the server refuses the question with a reason."""
    while True:
        try:
            return client.analyze(**question)
        except RateLimited as error:
            assert error.retry_after is not None
            time.sleep(min(error.retry_after, 30))
        except InvalidInput as error:
            assert error.code
            assert error.detail
            return None


def test_no_metrics_break_it(once: AutoClient) -> None:
    seeded = random.Random(SEED)
    answered = 0
    for number in range(SETS):
        question = some_question(seeded)
        try:
            answer = patiently(once, question)
            if answer is not None:
                answered += 1
                check_invariants(answer)
        except BaseException:
            asked = json.dumps(question, ensure_ascii=False)[:2_000]
            print(f"OPENAUTOGLM_SEED={SEED}, question {number}: {asked}")  # pytest shows it
            raise
    assert answered >= SETS // 10, f"{answered} of {SETS} answered, OPENAUTOGLM_SEED={SEED}"


def test_a_wrong_key_is_refused(kind: str, live: None) -> None:  # noqa: ARG001 - order
    with Client(kind, api_key="oag_wrong_0123456789abcdef") as client:
        with pytest.raises(AuthenticationError) as raised:
            client.call("analyze", METRICS)
    assert raised.value.status == 401
    assert (raised.value.code or "").startswith("OAG-11")


def test_a_series_without_points_makes_it_ask(client: Client) -> None:
    answer = client.call("analyze", {"cpu_usage": []})
    check_invariants(answer)
    assert answer.decision != "act"
    assert answer.plan is None


def test_empty_metrics_are_refused_by_name(client: Client) -> None:
    with pytest.raises(InvalidInput) as raised:
        client.call("analyze", {})
    assert any(error.field.startswith("metrics") for error in raised.value.errors)
    assert raised.value.code == "OAG-1001"


def test_lists_can_be_read(client: Client) -> None:
    for what in ("plans", "stories"):
        assert isinstance(client.list(what, page_size=2), list)
    with pytest.raises((NotFound, InvalidInput)):
        client.call("plan", "pln_00000000000000000000000000000000")


def test_signals_are_taken_in(client: Client) -> None:
    at = time.time_ns() // 1_000_000
    labels = {"service": "order-service", "test": "sdk"}
    client.call(
        "signals",
        [{"name": "sdk_live_test", "labels": labels, "at": at, "value": 1.5}],
    )
