"""One request to be sent, and how its answer is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from openautoglm.errors import UnexpectedResponse

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)
Record = dict[str, Any]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request to be sent, and how its answer is read."""

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    params: Mapping[str, Any] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Error statuses that are an answer all the same.
    answers: frozenset[int] = frozenset()
    #: Seconds to wait for each piece of the answer; None: as long as the client waits.
    patience_s: float | None = None


def segment(value: str, name: str) -> str:
    """A value as one segment of a path.

    Raises:
        ValueError: It cannot be one.
    """
    if not value or value in {".", ".."}:
        raise ValueError(f"{name}: {value!r} is no {'id' if name.endswith('_id') else 'name'}")
    return quote(value, safe="")


def json_bytes(value: Any) -> bytes:
    """A body."""
    # ASCII, because half a surrogate pair in a text can be escaped but not encoded.
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def json_or_none(response: httpx.Response) -> Any:
    """The answer as JSON; None when it is none."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def reads(model: type[Model]) -> Callable[[httpx.Response], Model]:
    """Reads an answer that is one object of a kind."""

    def parse(response: httpx.Response) -> Model:
        return _validated(model, json_object(response), response)

    return parse


def reads_items(model: type[Model]) -> Callable[[httpx.Response], list[Model]]:
    """Reads an answer that lists objects of a kind."""

    def parse(response: httpx.Response) -> list[Model]:
        items = json_object(response).get("items")
        if not isinstance(items, list):
            raise unexpected(response, "a list of items")
        return [_validated(model, item, response) for item in items]

    return parse


def json_object(response: httpx.Response) -> Record:
    """The answer as a JSON object."""
    body = json_or_none(response)
    if not isinstance(body, dict):
        raise unexpected(response, "a JSON object")
    return body


def json_answer(response: httpx.Response) -> Any:
    """The answer as any JSON; None when it is empty."""
    if not response.content:
        return None
    body = json_or_none(response)
    if body is None and response.content.strip() != b"null":
        raise unexpected(response, "JSON")
    return body


def unread(response: httpx.Response) -> httpx.Response:
    """The answer as it is."""
    return response


def unexpected(response: httpx.Response, wanted: str) -> UnexpectedResponse:
    """The error for an answer that is something else."""
    media = response.headers.get("content-type", "no content type")
    return UnexpectedResponse(
        f"{response.request.method} {response.request.url.path}: expected {wanted}, "
        f"got status {response.status_code} with {media}"
    )


def mismatch(model: type[BaseModel], error: ValidationError) -> str:
    """What was expected, and where something else was."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"another {model.__name__.lower()} ({place}: {first['msg']})"


def _validated(model: type[Model], body: Any, response: httpx.Response) -> Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        wrong = mismatch(model, error)
    raise unexpected(response, wrong)
