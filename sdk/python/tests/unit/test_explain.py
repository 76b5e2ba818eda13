from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from openautoglm import Analysis
from support import ANSWER


def check(body: dict[str, Any], expected: str) -> None:
    assert Analysis.model_validate(body).explain() == expected.strip("\n")


def test_chinese() -> None:
    check(
        ANSWER,
        """
建议：将 order-service 从 4 个副本扩容到 6 个副本
判断：执行，置信度 87%
发现：
  1. CPU 已接近饱和 [saturation，high，置信度 93%]
     - 4 个采样的均值 95.75% 高于目标 70% (cpu_usage)
       mean = 95.75, target = 70, samples = [95, 96, 98, 94]
     - 错误率从 5% 升到 41%
依据：
  - 4 × 95.75 / 70 = 5.47，向上取整为 6
假设：
  - 当前副本数未给出，按 4 个计算
计划：扩容一次
  1. 将 order-service 扩容到 6 个副本 [scale order-service replicas = 6]
     风险：low
     预期：ready_replicas ≥ 6，限时 120 s，保持 30 s
     撤销：scale order-service replicas = 4
""",
    )


def test_english() -> None:
    finding = {"kind": "trend", "severity": "low", "confidence": 0.5, "summary": "grows slowly"}
    actions = [
        {"kind": "restart", "service": "cart", "undo": "not_needed", "expect": ["it is ready"]},
        {"kind": "shed", "risk": "high", "undo": {"impossible": "requests are gone"}},
        {"kind": "note", "undo": {"way": "back"}},
        {"kind": "move", "undo": {"kind": "move", "service": "cart", "params": {"to": "a"}}},
    ]
    check(
        {
            "action": "restart cart",
            "decision": "ask",
            "language": "en",
            "confidence": 0.505,
            "findings": [finding],
            "plan": {"summary": "several steps", "actions": actions},
            "assumptions": ["30 s between values"],
        },
        """
Action: restart cart
Decision: ask first, confidence 50%
Findings:
  1. grows slowly [trend, low, confidence 50%]
Assumptions:
  - 30 s between values
Plan: several steps
  1. restart cart [restart cart]
     expected: it is ready
     undo: not needed
  2. shed [shed]
     risk: high
     undo: not possible, requests are gone
  3. note [note]
     undo: {"way": "back"}
  4. move [move]
     undo: move cart to = a
""",
    )


def test_nothing_to_do() -> None:
    check(
        {"action": "nothing to do", "decision": "no_action", "confidence": 0.9},
        """
Action: nothing to do
Decision: no action, confidence 90%
Findings: none
Assumptions: none
Plan: none
""",
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
shapes = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("by", "kind", "target", "observe", "is", "value", "within_ms"), values),
)


@given(values | shapes, values | shapes, st.dictionaries(st.text(max_size=5), values))
def test_any_form_of_expectation_and_undo_is_shown(
    expect: Any, undo: Any, params: dict[str, Any]
) -> None:
    action = {"kind": "k", "expect": [expect], "undo": undo, "params": params}
    body = {"action": "a", "decision": "act", "confidence": 1, "plan": {"summary": "s"}}
    body["plan"]["actions"] = [action]  # type: ignore[index]
    assert "1. k [k" in Analysis.model_validate(body).explain()
