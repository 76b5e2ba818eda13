"""What the server answers, as data.

Members that this version does not know are kept, and words are not held against a fixed list, so
that a newer server works with it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from openautoglm._explain import explain

__all__ = [
    "Analysis",
    "Component",
    "Delta",
    "Ending",
    "Evidence",
    "Finding",
    "Generation",
    "Health",
    "Lease",
    "ModelInfo",
    "Node",
    "NodeGroup",
    "NodeModel",
    "Plan",
    "PlannedAction",
    "Queue",
    "QueueLine",
]


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


class NodeModel(_Model):
    """A model on a node."""

    name: str
    #: What runs it.
    about: str = ""
    #: Answers it works on at once.
    slots: int
    #: Of those, given to it.
    busy: int
    #: Requests that wait inside its engine, as it says.
    waiting: int
    #: Tokens it writes per second, as it says.
    tokens_per_s: float
    #: Tokens of prompt and answer that one request may have.
    window_tokens: int
    #: Time its answers take over the time they should take.
    slowness: float
    #: Mean time of its last answers.
    latency_s: float


class Lease(_Model):
    """An answer on a node."""

    task: str
    model: str
    tenant: str
    node: str
    #: Which time it was begun.
    attempt: int
    #: Tokens written.
    tokens: int
    #: How long it has run here.
    runs_ms: int
    #: Why it was begun when it was.
    reason: str | None = None
    #: Why on this node.
    placed: str | None = None


class Node(_Model):
    """A node of the fleet."""

    name: str
    #: ``control``, ``worker`` or ``storage``.
    role: str
    #: ``ready``, ``late``, ``away``, ``draining``, ``cordoned``, ``left`` or ``lost``.
    state: str
    state_for_ms: int
    joined_at: datetime
    #: How long ago it was heard.
    heard_ms: int
    #: Time between its heartbeats.
    heartbeat_ms: int
    version: str
    groups: list[str] = Field(default_factory=list)
    capabilities: list[str] = Field(default_factory=list)
    #: Where it says it can be reached.
    endpoint: str | None = None
    #: Share of its host's processors in use, 0 to 1.
    cpu: float | None = None
    #: Share of its host's memory in use, 0 to 1.
    memory: float | None = None
    models: list[NodeModel] = Field(default_factory=list)
    #: The answers it works on.
    leases: list[Lease] = Field(default_factory=list)


class ModelInfo(_Model):
    """A model of the fleet."""

    name: str
    #: Nodes that offer it, connected or on their way back.
    nodes: list[str] = Field(default_factory=list)
    #: Answers that may be worked on at once.
    slots: int
    #: Of those, in use.
    busy: int
    #: Requests that wait.
    waiting: int
    #: Tokens of prompt and answer that one request may have.
    window_tokens: int


class NodeGroup(_Model):
    """Nodes that belong together."""

    name: str
    #: Nodes that belong to it, those of an inventory that never joined included.
    nodes: int
    #: Of those, how many have a session now.
    connected: int
    #: Of those, how many can be given work.
    ready: int
    #: The models that they offer.
    models: list[str] = Field(default_factory=list)
    #: Answers that they can work on at once.
    slots: int
    #: Of those, in use.
    busy: int


class QueueLine(_Model):
    """A request that waits."""

    task: str
    tenant: str
    #: ``critical``, ``interactive``, ``batch`` or ``background``.
    class_: str = Field(alias="class")
    waited_ms: int
    #: How long it is expected to take.
    work_ms: int
    #: Why it is next of its lane; None when it is not.
    reason: str | None = None


class Queue(_Model):
    """The queue of a model."""

    model: str
    #: Its order.
    policy: str
    #: Requests that wait.
    waiting: int
    #: Their tokens, prompts and expected answers.
    tokens: int
    #: How long a request that came now would wait.
    expected_wait_ms: int
    #: Answers that may be worked on at once.
    slots: int
    #: Of those, in use.
    busy: int
    #: The next requests, lane by lane.
    next: list[QueueLine] = Field(default_factory=list)
    #: What runs.
    running: list[Lease] = Field(default_factory=list)


class Generation(_Model):
    """What a model answers."""

    model: str
    text: str
    #: What the model thought before; empty when nothing is known of that.
    reasoning: str = ""
    #: Why it ended: ``stop``, ``length``, ``tool_calls`` or ``filtered``.
    finish: str
    #: Tokens of the prompt, where they are known.
    prompt_tokens: int | None = None
    #: Tokens of the answer, where they are known.
    answer_tokens: int | None = None


class Prediction(_Model):
    """What a model predicts from numbers."""

    model: str
    #: The model's first output: one flat list of numbers for each row.
    prediction: list[list[float]]
    #: Every output by its name, the first one too; only where the model has several.
    outputs: dict[str, list[list[float]]] | None = None


class Delta(_Model):
    """A piece of an answer."""

    text: str = ""
    #: What the model thinks meanwhile.
    reasoning: str = ""


class Ending(_Model):
    """How an answer in pieces ended."""

    #: ``stop``, ``length``, ``tool_calls`` or ``filtered``.
    finish: str
    #: Tokens of the prompt, where they are known.
    prompt_tokens: int | None = None
    #: Tokens of the answer, where they are known.
    answer_tokens: int | None = None
