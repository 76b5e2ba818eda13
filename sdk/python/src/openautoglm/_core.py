"""What both clients share: how requests are put together and how answers are read.

Nothing here waits or sends.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, SupportsIndex

import httpx

from openautoglm._call import (
    Call,
    Record,
    T,
    json_answer,
    json_bytes,
    json_object,
    json_or_none,
    reads,
    segment,
    unexpected,
    unread,
)
from openautoglm._retry import Attempts, Outcome, retry_after_s
from openautoglm._values import Metrics, integer_json, metrics_json, number_json, time_json
from openautoglm._version import __version__
from openautoglm.errors import (
    APIError,
    ConfigurationError,
    ConnectionFailed,
    FieldError,
    OpenAutoGLMError,
    Timeout,
    UnexpectedResponse,
    class_of,
)
from openautoglm.models import Analysis, Health

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_TIMEOUT_S = 10.0
DEFAULT_RETRIES = 2

_KEY_VARIABLE = "OPENAUTOGLM_API_KEY"
_URL_VARIABLE = "OPENAUTOGLM_URL"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_DETAIL_CHARS_MAX = 500
# Shorter ones could be part of any word.
_REDACTED_CHARS_MIN = 8


class _Credential:
    """Keeps the key out of everything that prints or stores objects."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "<credential>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds a key and connections: make a new one instead of a copy")

    def header(self) -> str:
        return f"Bearer {self._key}"

    def redact(self, text: str) -> str:
        if len(self._key) < _REDACTED_CHARS_MIN:
            return text
        return text.replace(self._key, "[api key]")


class Core:
    """The settings of a client, and every call it can make."""

    def __init__(
        self, api_key: str | None, base_url: str | None, timeout: float, retries: int
    ) -> None:
        self._credential = _Credential(_checked_key(api_key))
        self.base_url = _checked_url(base_url)
        if not (math.isfinite(timeout) and timeout > 0):
            raise ConfigurationError(f"timeout: {timeout} is not above 0 seconds")
        if retries < 0:
            raise ConfigurationError(f"retries: {retries} is below 0")
        self.timeout = timeout
        self.retries = retries

    def __repr__(self) -> str:
        return f"base_url={self.base_url!r}, timeout={self.timeout:g}, retries={self.retries}"

    # Sending and receiving.

    def http_options(self) -> dict[str, Any]:
        """How the HTTP client is to be made."""
        options: dict[str, Any] = {"timeout": self.timeout, "follow_redirects": False}
        host = httpx.URL(self.base_url).host
        if host == "localhost" or host.startswith("127.") or host == "::1":
            # A proxy from the environment cannot reach this machine's own loopback.
            options["mounts"] = {f"all://{f'[{host}]' if ':' in host else host}": None}
        return options

    def request(self, call: Call[Any]) -> httpx.Request:
        """The request of a call. The same object is sent at every try."""
        headers = httpx.Headers(dict(call.headers))
        headers["Authorization"] = self._credential.header()
        headers["User-Agent"] = f"openautoglm-python/{__version__}"
        headers.setdefault("Accept", "application/json, application/problem+json")
        if call.content is not None:
            headers.setdefault("Content-Type", "application/json")
        timeout = httpx.Timeout(self.timeout, read=self._patience_s(call)).as_dict()
        try:
            url = httpx.URL(self.base_url + call.path)
        except httpx.InvalidURL as error:
            raise ValueError(f"path: {error}") from None
        return httpx.Request(
            call.method,
            url.copy_merge_params(call.params) if call.params else url,
            headers=headers,
            content=call.content,
            extensions={"timeout": timeout},
        )

    def attempts(self, call: Call[Any]) -> Attempts:
        """The tries a call has."""
        return Attempts(self.retries, call.answers)

    def finish(self, call: Call[T], outcome: Outcome) -> T:
        """What came of a call.

        Raises:
            OpenAutoGLMError: It failed.
        """
        if isinstance(outcome, httpx.RequestError):
            raise self.failure(call, outcome)
        # The request holds the key, and responses get stored and printed.
        outcome.request = httpx.Request(call.method, outcome.request.url)
        if not outcome.is_success and outcome.status_code not in call.answers:
            raise self._api_error(outcome)
        return call.parse(outcome)

    def failure(self, call: Call[Any], error: httpx.RequestError) -> OpenAutoGLMError:
        """What is raised for a connection that failed."""
        # Not chained: the frames below hold the request with its headers, and error trackers
        # record the variables of frames.
        cause = self._credential.redact(f"{type(error).__name__}: {error}".removesuffix(": "))
        if isinstance(error, httpx.TimeoutException):
            late = isinstance(error, httpx.ReadTimeout)
            waited_s = self._patience_s(call) if late else self.timeout
            return Timeout(f"no answer from {self.base_url} within {waited_s:g} s ({cause})")
        if isinstance(error, httpx.TransportError):
            return ConnectionFailed(f"no connection to {self.base_url} ({cause})")
        return UnexpectedResponse(f"the answer of {self.base_url} cannot be read ({cause})")

    def problem(self, status: int, problem: Record, response: httpx.Response) -> APIError:
        """What is raised for a problem document."""
        redact = self._credential.redact
        detail = _text(problem.get("detail"))
        request_id = _text(problem.get("request_id")) or response.headers.get("x-request-id")
        return class_of(status)(
            status,
            code=_text(problem.get("code")),
            title=redact(_text(problem.get("title")) or response.reason_phrase) or None,
            detail=redact(detail)[:_DETAIL_CHARS_MAX] if detail else None,
            request_id=redact(request_id) if request_id else None,
            errors=tuple(_field_errors(problem.get("errors"), redact)),
            retry_after=retry_after_s(response),
        )

    def _api_error(self, response: httpx.Response) -> APIError:
        body = json_or_none(response)
        problem = body if isinstance(body, dict) else {}
        # The OpenAI-compatible paths put everything one level down.
        inner = problem.get("error")
        if isinstance(inner, dict):
            problem = {"detail": inner.get("message"), "code": inner.get("code")}
        elif body is None and response.headers.get("content-type", "").startswith("text/plain"):
            problem = {"detail": response.text.strip()}
        return self.problem(response.status_code, problem, response)

    def _patience_s(self, call: Call[Any]) -> float:
        return self.timeout if call.patience_s is None else call.patience_s

    # The calls.

    def analyze(
        self,
        metrics: Metrics,
        context: str | None,
        service: str | None,
        replicas: SupportsIndex | None,
        step_ms: SupportsIndex | None,
    ) -> Call[Analysis]:
        """Advice on metrics. It changes nothing, so it needs no key against repetition."""
        body = {
            "metrics": metrics_json(metrics),
            "context": context,
            "service": service,
            "replicas": integer_json(replicas, "replicas"),
            "step_ms": integer_json(step_ms, "step_ms"),
        }
        given = {name: value for name, value in body.items() if value is not None}
        parse = reads(Analysis)
        return Call("POST", "/api/v1/analyze", parse, content=json_bytes(given))

    def health(self) -> Call[Health]:
        """Readiness. That some part is not well is an answer, not an error."""
        answers = frozenset({500, 503})

        def parse(response: httpx.Response) -> Health:
            try:
                return reads(Health)(response)
            except UnexpectedResponse:
                if response.is_success:
                    raise
            # Something in front of the server spoke in its place.
            raise self._api_error(response)

        return Call("GET", "/health/ready", parse, answers=answers)

    def signals(self, signals: Iterable[Mapping[str, Any]]) -> Call[Any]:
        """Observations to be taken in."""
        batch = [_signal_json(signal, at) for at, signal in enumerate(signals)]
        return self.effect("POST", "/api/v1/signals", json_answer, content=json_bytes(batch))

    def plan(self, plan_id: str) -> Call[Record]:
        """One plan."""
        return Call("GET", f"/api/v1/plans/{segment(plan_id, 'plan_id')}", json_object)

    def raw(
        self,
        method: str,
        path: str,
        json: Any,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        idempotency_key: str | None,
    ) -> Call[httpx.Response]:
        """Any other request."""
        if not path.startswith("/"):
            raise ValueError(f"path: {path!r} does not begin with '/'")
        method = method.upper()
        content = None if json is None else json_bytes(json)
        given = headers or {}
        if method in _READING:
            return Call(method, path, unread, params, content, given)
        return self.effect(method, path, unread, params, content, given, idempotency_key)

    def effect(
        self,
        method: str,
        path: str,
        parse: Callable[[httpx.Response], T],
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Call[T]:
        """A call with an effect, which takes place once however often it is tried."""
        keyed = httpx.Headers(dict(headers or {}))
        if idempotency_key is not None:
            keyed["Idempotency-Key"] = idempotency_key
        keyed.setdefault("Idempotency-Key", str(uuid.uuid4()))
        return Call(method, path, parse, params, content, keyed)


class Pages:
    """The pages of a list, one call after the other."""

    def __init__(self, path: str, params: Mapping[str, Any]) -> None:
        if not path.startswith("/"):
            raise ValueError(f"path: {path!r} does not begin with '/'")
        self._path = path
        self._params = {name: value for name, value in params.items() if value is not None}
        self._token: str | None = None
        self._seen: set[str] = set()
        self._ended = False

    def next_call(self) -> Call[list[Record]] | None:
        """The call for the next page; None after the last."""
        if self._ended:
            return None
        token = {} if self._token is None else {"page_token": self._token}
        return Call("GET", self._path, self._parse, params={**self._params, **token} or None)

    def _parse(self, response: httpx.Response) -> list[Record]:
        page = json_object(response)
        items, token = page.get("items"), page.get("next_page_token")
        if not isinstance(items, list) or not isinstance(token, str | None):
            raise unexpected(response, "a page with items")
        if token in self._seen:
            raise unexpected(response, "a page token that was not there before")
        self._token = token
        self._ended = not token
        if token:
            self._seen.add(token)
        return items


def _checked_key(api_key: str | None) -> str:
    key = os.environ.get(_KEY_VARIABLE, "") if api_key is None else api_key
    if not key:
        raise ConfigurationError(f"no API key: pass api_key, or set {_KEY_VARIABLE}")
    if not all("!" <= character <= "~" for character in key):
        # Which character is not said: the key stays out of messages.
        raise ConfigurationError(
            "the API key holds a space, a line break or another character that no key has; "
            "was something else copied with it?"
        )
    return key


def _checked_url(base_url: str | None) -> str:
    text = base_url if base_url is not None else os.environ.get(_URL_VARIABLE) or DEFAULT_URL
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigurationError(f"base_url: expected something like {DEFAULT_URL}")
    if url.userinfo or url.query or url.fragment:
        raise ConfigurationError("base_url: no user, password, query or fragment belongs there")
    return str(url).rstrip("/")


def _signal_json(signal: Mapping[str, Any], at: int) -> Record:
    place = f"signals[{at}]"
    if not isinstance(signal, Mapping):
        raise TypeError(f"{place}: expected name, labels, at and value")
    body = dict(signal)
    if "value" in body:
        body["value"] = number_json(body["value"], f"{place}.value")
    if body.get("at") is not None:
        body["at"] = time_json(body["at"], f"{place}.at")
    return body


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _field_errors(value: Any, redact: Callable[[str], str]) -> Iterable[FieldError]:
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict):
            name, message = str(item.get("field", "")), str(item.get("message", ""))
            yield FieldError(redact(name), redact(message))
