"""An analysis as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openautoglm.models import Analysis, Finding, PlannedAction

_WORDS = {
    "en": {
        "action": "Action",
        "decision": "Decision",
        "act": "act",
        "no_action": "no action",
        "ask": "ask first",
        "confidence": "confidence",
        "findings": "Findings",
        "evidence": "Evidence",
        "assumptions": "Assumptions",
        "plan": "Plan",
        "risk": "risk",
        "expect": "expected",
        "undo": "undo",
        "not_needed": "not needed",
        "impossible": "not possible",
        "within": "within",
        "hold": "for",
        "none": "none",
        "colon": ": ",
        "comma": ", ",
    },
    "zh": {
        "action": "建议",
        "decision": "判断",
        "act": "执行",
        "no_action": "不操作",
        "ask": "需要确认",
        "confidence": "置信度",
        "findings": "发现",
        "evidence": "依据",
        "assumptions": "假设",
        "plan": "计划",
        "risk": "风险",
        "expect": "预期",
        "undo": "撤销",
        "not_needed": "无需撤销",
        "impossible": "无法撤销",
        "within": "限时",
        "hold": "保持",
        "none": "无",
        "colon": "：",
        "comma": "，",
    },
}

_COMPARISONS = {"eq": "=", "le": "≤", "ge": "≥"}


def explain(analysis: Analysis) -> str:
    """The advice, what it rests on, and what would be done."""
    words = _WORDS["zh" if analysis.language.startswith("zh") else "en"]
    return "\n".join(_lines(analysis, words))


def _lines(analysis: Analysis, words: Mapping[str, str]) -> Iterator[str]:
    colon, comma = words["colon"], words["comma"]
    decision = words.get(analysis.decision, analysis.decision)
    yield f"{words['action']}{colon}{analysis.action}"
    yield (
        f"{words['decision']}{colon}{decision}{comma}"
        f"{words['confidence']} {_percent(analysis.confidence)}"
    )
    yield _heading(words, "findings", bool(analysis.findings))
    for number, finding in enumerate(analysis.findings, 1):
        yield from _finding(number, finding, words)
    if analysis.evidence:
        yield _heading(words, "evidence", True)
        yield from (f"  - {line}" for line in analysis.evidence)
    yield _heading(words, "assumptions", bool(analysis.assumptions))
    yield from (f"  - {line}" for line in analysis.assumptions)
    if analysis.plan is None:
        yield _heading(words, "plan", False)
        return
    yield f"{words['plan']}{colon}{analysis.plan.summary}"
    for number, action in enumerate(analysis.plan.actions, 1):
        yield from _action(number, action, words)


def _heading(words: Mapping[str, str], name: str, filled: bool) -> str:
    return f"{words[name]}{words['colon']}{'' if filled else words['none']}".rstrip()


def _finding(number: int, finding: Finding, words: Mapping[str, str]) -> Iterator[str]:
    confidence = f"{words['confidence']} {_percent(finding.confidence)}"
    tags = words["comma"].join((finding.kind, finding.severity, confidence))
    yield f"  {number}. {finding.summary} [{tags}]"
    for evidence in finding.evidence:
        series = f" ({evidence.series})" if evidence.series else ""
        yield f"     - {evidence.text}{series}"
        if evidence.numbers:
            yield f"       {_pairs(evidence.numbers)}"


def _action(number: int, action: PlannedAction, words: Mapping[str, str]) -> Iterator[str]:
    colon = words["colon"]
    named = " ".join(part for part in (action.kind, action.service) if part)
    params = f" {_pairs(action.params)}" if action.params else ""
    yield f"  {number}. {action.summary or named} [{named}{params}]"
    if action.risk is not None:
        yield f"     {words['risk']}{colon}{_plain(action.risk)}"
    for expectation in action.expect:
        yield f"     {words['expect']}{colon}{_expectation(expectation, words)}"
    if action.undo is not None:
        yield f"     {words['undo']}{colon}{_undo(action.undo, words)}"


def _expectation(value: Any, words: Mapping[str, str]) -> str:
    if not isinstance(value, Mapping) or not isinstance(value.get("observe"), Mapping):
        return _plain(value)
    what = " ".join(_plain(name) for name in value["observe"].values())
    comparison = _COMPARISONS.get(str(value.get("is")), _plain(value.get("is")))
    text = f"{what} {comparison} {_plain(value.get('value'))}"
    for name, word in (("within_ms", "within"), ("hold_ms", "hold")):
        millis = value.get(name)
        if isinstance(millis, int | float) and millis > 0:
            text += f"{words['comma']}{words[word]} {_number(millis / 1000)} s"
    return text


def _undo(value: Any, words: Mapping[str, str]) -> str:
    if value == "not_needed":
        return words["not_needed"]
    if isinstance(value, Mapping) and set(value) == {"impossible"}:
        return f"{words['impossible']}{words['comma']}{_plain(value['impossible'])}"
    by = value.get("by") if isinstance(value, Mapping) and set(value) == {"by"} else value
    if not isinstance(by, Mapping) or "kind" not in by:
        return _plain(by)
    target = by.get("target")
    service = target.get("service") if isinstance(target, Mapping) else by.get("service")
    params = by.get("params")
    parts = [_plain(by["kind"]), _plain(service) if service else ""]
    parts.append(_pairs(params) if isinstance(params, Mapping) else "")
    return " ".join(part for part in parts if part)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_plain(value)}" for name, value in values.items())


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list) and all(isinstance(item, int | float) for item in value):
        return f"[{', '.join(_plain(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _number(value: float) -> str:
    return f"{value:.6g}"


def _percent(value: float) -> str:
    return f"{value:.0%}"
