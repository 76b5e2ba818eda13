"""What the server answers, as data.

Members that this version does not know are kept, and words are not held against a fixed list, so
that a newer server works with it.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from openautoglm._explain import explain

__all__ = ["Analysis", "Component", "Evidence", "Finding", "Health", "Plan", "PlannedAction"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow")


class Evidence(_Model):
    """One reason for a finding, with the arithmetic behind it."""

    text: str
    series: str | None = None
    numbers: dict[str, Any] = Field(default_factory=dict)


class Finding(_Model):
    """Something seen in the metrics."""

    kind: str
    severity: str
    confidence: float
    summary: str
    evidence: list[Evidence] = Field(default_factory=list)


class PlannedAction(_Model):
    """One step of a plan."""

    kind: str
    service: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    summary: str = ""
    #: The effects it promises, each checkable by the server.
    expect: list[Any] = Field(default_factory=list)
    risk: Any = None
    #: The way back.
    undo: Any = None


class Plan(_Model):
    """What would be done. A proposal: nothing has been done yet."""

    summary: str
    actions: list[PlannedAction] = Field(default_factory=list)


class Analysis(_Model):
    """What the server makes of the metrics."""

    #: The advice in one sentence.
    action: str
    #: ``act``, ``no_action`` or ``ask``.
    decision: str
    #: Which kind of action, such as ``scale``.
    action_kind: str | None = None
    service: str | None = None
    #: ``zh`` or ``en``, the language of the sentences.
    language: str = "en"
    #: Between 0 and 1.
    confidence: float
    findings: list[Finding] = Field(default_factory=list)
    #: None when there is nothing to do, or not enough is known.
    plan: Plan | None = None
    #: What was taken for granted because nobody said.
    assumptions: list[str] = Field(default_factory=list)
    evidence: list[str] = Field(default_factory=list)

    def explain(self) -> str:
        """The advice and its reasons as text of several lines, in the language of the advice."""
        return explain(self)


class Component(_Model):
    """How one part of the server is."""

    name: str
    ok: bool
    detail: str | None = None


class Health(_Model):
    """Whether the server can serve requests now."""

    #: ``ok`` or ``failing``.
    status: str
    #: The parts that are not well.
    failing: list[str] = Field(default_factory=list)
    components: list[Component] = Field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every part is well."""
        return self.status == "ok"
