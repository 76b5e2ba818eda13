"""The calls about the fleet and its models, and answers that come in pieces."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex

import httpx
from pydantic import ValidationError

from openautoglm._call import (
    Call,
    Model,
    json_bytes,
    json_object,
    mismatch,
    reads,
    reads_items,
    segment,
    unexpected,
    unread,
)
from openautoglm._events import Event, Events
from openautoglm._values import Series, features_json, integer_json, number_json, tokens_json
from openautoglm.errors import ConnectionFailed
from openautoglm.models import (
    Delta,
    Ending,
    Generation,
    ModelInfo,
    Node,
    NodeGroup,
    Prediction,
    Queue,
)

if TYPE_CHECKING:
    from openautoglm._core import Core
    from openautoglm.streams import Urgency

#: A little more than the server gives an answer.
GENERATE_TIMEOUT_S = 620.0

Messages = Iterable[Mapping[str, str]]


def nodes() -> Call[list[Node]]:
    """The nodes."""
    return Call("GET", "/api/v1/nodes", reads_items(Node))


def node(name: str) -> Call[Node]:
    """One node."""
    return Call("GET", f"/api/v1/nodes/{segment(name, 'name')}", reads(Node))


def operate(core: Core, name: str, what: str, reason: str) -> Call[Node]:
    """What is done to a node."""
    path = f"/api/v1/nodes/{segment(name, 'name')}/{what}"
    return core.effect("POST", path, reads(Node), content=json_bytes({"reason": reason}))


def node_groups() -> Call[list[NodeGroup]]:
    """The groups of nodes."""
    return Call("GET", "/api/v1/node-groups", reads_items(NodeGroup))


def models() -> Call[list[ModelInfo]]:
    """The models."""
    return Call("GET", "/api/v1/models", reads_items(ModelInfo))


def queues(most: SupportsIndex | None) -> Call[list[Queue]]:
    """The queues."""
    params = None if most is None else {"most": integer_json(most, "most")}
    return Call("GET", "/api/v1/queues", reads_items(Queue), params)


def generate(model: str, prompt: str | None, **options: Any) -> Call[Generation]:
    """An answer as a whole. It keeps nothing, so it needs no key against repetition."""
    path, content, patience_s = _question(model, prompt, stream=False, **options)
    return Call("POST", path, reads(Generation), content=content, patience_s=patience_s)


def generate_stream(model: str, prompt: str | None, **options: Any) -> Call[httpx.Response]:
    """An answer in pieces."""
    path, content, patience_s = _question(model, prompt, stream=True, **options)
    headers = {"Accept": "text/event-stream, application/problem+json"}
    return Call("POST", path, unread, None, content, headers, patience_s=patience_s)


def tokenize(model: str, text: str) -> Call[list[int]]:
    """The tokens of a text."""
    return Call("POST", _path(model, "tokenize"), _tokens, content=json_bytes({"text": text}))


def detokenize(model: str, tokens: Iterable[SupportsIndex]) -> Call[str]:
    """The text of tokens."""
    content = json_bytes({"tokens": tokens_json(tokens, "tokens")})
    return Call("POST", _path(model, "detokenize"), _the_text, content=content)


def predict(model: str, features: Series) -> Call[Prediction]:
    """Numbers from numbers. It changes nothing, so it needs no key against repetition."""
    content = json_bytes({"features": features_json(features, "features")})
    return Call("POST", _path(model, "predict"), reads(Prediction), content=content)


class Answer:
    """How far an answer in pieces has come."""

    def __init__(self, core: Core, call: Call[httpx.Response]) -> None:
        self.call = call
        #: None until the answer is complete.
        self.end: Ending | None = None
        self._core = core
        self._events = Events()

    def begin(self, response: httpx.Response) -> None:
        """Makes sure that events come."""
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise unexpected(response, "server-sent events")

    def take(self, piece: bytes, response: httpx.Response) -> Iterator[Delta]:
        """What there is more of the answer.

        Raises:
            APIError: The server says what went wrong.
            UnexpectedResponse: It is something else.
        """
        for event in self._events.take(piece):
            delta = self._event(event, response)
            if delta is not None:
                yield delta
            if self.end is not None:
                return
        if self._events.endless:
            raise unexpected(response, "shorter events")

    def over(self, lost: httpx.RequestError | None) -> None:
        """Makes sure that it is complete, when nothing more comes."""
        if self.end is not None:
            return
        if lost is not None:
            raise self._core.failure(self.call, lost)
        raise ConnectionFailed(f"the answer of {self._core.base_url} broke off before its end")

    def _event(self, event: Event, response: httpx.Response) -> Delta | None:
        if event.name == "delta":
            return _read(Delta, event, response)
        if event.name == "end":
            self.end = _read(Ending, event, response)
        elif event.name == "error":
            problem = _data(event, response)
            status = problem.get("status")
            if not isinstance(status, int) or not 400 <= status <= 599:
                status = 500
            raise self._core.problem(status, problem, response)
        return None


def _path(model: str, what: str) -> str:
    return f"/api/v1/models/{segment(model, 'model')}/{what}"


def _question(
    model: str,
    prompt: str | None,
    *,
    stream: bool,
    messages: Messages | None = None,
    max_tokens: SupportsIndex | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: SupportsIndex | None = None,
    stop: Iterable[str] = (),
    urgency: Urgency | None = None,
    timeout: float = GENERATE_TIMEOUT_S,
) -> tuple[str, bytes, float]:
    if not (math.isfinite(timeout) and timeout > 0):
        raise ValueError(f"timeout: {timeout} is not above 0 seconds")
    if isinstance(stop, str):
        raise TypeError("stop: expected texts in a list, got one text")
    body = {
        "prompt": prompt,
        "messages": None if messages is None else [dict(message) for message in messages],
        "max_tokens": integer_json(max_tokens, "max_tokens"),
        "temperature": number_json(temperature, "temperature"),
        "top_p": number_json(top_p, "top_p"),
        "seed": integer_json(seed, "seed"),
        "stop": list(stop) or None,
        "urgency": urgency,
        "stream": stream or None,
    }
    given = {name: value for name, value in body.items() if value is not None}
    return _path(model, "generate"), json_bytes(given), timeout


def _tokens(response: httpx.Response) -> list[int]:
    tokens = json_object(response).get("tokens")
    if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
        raise unexpected(response, "tokens")
    return tokens


def _the_text(response: httpx.Response) -> str:
    text = json_object(response).get("text")
    if not isinstance(text, str):
        raise unexpected(response, "a text")
    return text


def _data(event: Event, response: httpx.Response) -> dict[str, Any]:
    try:
        data = json.loads(event.data)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise unexpected(response, f"JSON in the event {event.name}")
    return data


def _read(model: type[Model], event: Event, response: httpx.Response) -> Model:
    data = _data(event, response)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = mismatch(model, error)
    raise unexpected(response, wrong)
