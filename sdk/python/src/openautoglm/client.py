"""The clients, one for threads and one for asyncio. What they do is in ``_core`` and ``_fleet``."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, SupportsIndex

import httpx

from openautoglm import _fleet
from openautoglm._asyncio import AsyncAutoClient
from openautoglm._call import Call, Record, T
from openautoglm._core import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S, Core, Pages
from openautoglm._retry import Outcome
from openautoglm._values import Metrics, Series
from openautoglm.models import (
    Analysis,
    Delta,
    Generation,
    Health,
    ModelInfo,
    Node,
    NodeGroup,
    Prediction,
    Queue,
)
from openautoglm.streams import AnswerStream, GenerateOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["AsyncAutoClient", "AutoClient"]


class AutoClient:
    """A connection to an Open-AutoGLM server. Threads may share it.

    Args:
        api_key: The key; else the variable OPENAUTOGLM_API_KEY.
        base_url: Where the server is; else the variable OPENAUTOGLM_URL, else
            http://127.0.0.1:8080.
        timeout: Seconds to wait for a connection, and for each piece of the answer.
        retries: How often a request is tried again when the connection is lost or the server
            answers 429, 502, 503 or 504.
        transport: Sends the requests in place of the usual one, for proxies, client certificates
            and tests.

    Raises:
        ConfigurationError: The key is missing, or a setting has no meaning.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._core = Core(api_key, base_url, timeout, retries)
        self._http = httpx.Client(transport=transport, **self._core.http_options())
        self._sleep = time.sleep

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._core!r})"

    @property
    def base_url(self) -> str:
        """Where the server is."""
        return self._core.base_url

    def __enter__(self) -> AutoClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections. The client cannot be used afterwards."""
        self._http.close()

    def analyze(
        self,
        metrics: Metrics,
        context: str | None = None,
        service: str | None = None,
        replicas: SupportsIndex | None = None,
        step_ms: SupportsIndex | None = None,
    ) -> Analysis:
        """Asks what to do about a service, given its metrics. Changes nothing.

        Args:
            metrics: Series by metric name, oldest value first. Lists, numpy arrays, pandas Series
                or a whole DataFrame; NaN, infinities and None count as missing.
            context: What is known besides, in Chinese or English.
            service: Which service it is, when the context does not say.
            replicas: How many replicas it has now.
            step_ms: Milliseconds from one value to the next.

        Raises:
            TypeError: A value is no number; says which.
            InvalidInput: The server cannot use the input; ``errors`` names the fields.
            OpenAutoGLMError: Anything else that went wrong.
        """
        return self._send(self._core.analyze(metrics, context, service, replicas, step_ms))

    def health(self) -> Health:
        """Whether the server can serve requests now, and what is wrong if it cannot."""
        return self._send(self._core.health())

    def signals(self, signals: Iterable[Mapping[str, Any]]) -> Any:
        """Hands observations to the server: ``name``, ``labels``, ``at`` and ``value`` each."""
        return self._send(self._core.signals(signals))

    def plans(self, *, page_size: int | None = None, **filters: Any) -> Iterator[Record]:
        """Every plan, page by page as they are asked for."""
        return self.items("/api/v1/plans", page_size=page_size, **filters)

    def plan(self, plan_id: str) -> Record:
        """One plan."""
        return self._send(self._core.plan(plan_id))

    def stories(self, *, page_size: int | None = None, **filters: Any) -> Iterator[Record]:
        """Every story, from its first finding to its end, page by page as they are asked for."""
        return self.items("/api/v1/stories", page_size=page_size, **filters)

    def nodes(self) -> list[Node]:
        """The nodes of the fleet."""
        return self._send(_fleet.nodes())

    def node(self, name: str) -> Node:
        """One node of the fleet."""
        return self._send(_fleet.node(name))

    def cordon_node(self, name: str, reason: str) -> Node:
        """Gives a node nothing new; what it has it finishes. The reason is kept."""
        return self._send(_fleet.operate(self._core, name, "cordon", reason))

    def uncordon_node(self, name: str, reason: str) -> Node:
        """Lets a node work again."""
        return self._send(_fleet.operate(self._core, name, "uncordon", reason))

    def disconnect_node(self, name: str, reason: str) -> Node:
        """Ends a node's session; its work goes to others at once. The node may come back."""
        return self._send(_fleet.operate(self._core, name, "disconnect", reason))

    def node_groups(self) -> list[NodeGroup]:
        """The groups of nodes, with what each holds."""
        return self._send(_fleet.node_groups())

    def models(self) -> list[ModelInfo]:
        """The models there are; those without nodes run in the controller itself."""
        return self._send(_fleet.models())

    def queues(self, most: SupportsIndex | None = None) -> list[Queue]:
        """What waits and what runs, model by model; ``most`` lines of each, 20 unless told."""
        return self._send(_fleet.queues(most))

    def generate(
        self, model: str, prompt: str | None = None, **options: Unpack[GenerateOptions]
    ) -> Generation:
        """Asks a model for an answer, and waits for all of it.

        Args:
            model: Which model, by its name in ``models()``.
            prompt: A text to go on from; or else ``messages`` among the options.
            options: See GenerateOptions.

        Raises:
            NotFound: No worker offers the model.
            InvalidInput: The server or the model cannot use the input.
            ServerError: The model gives no answer now.
            OpenAutoGLMError: Anything else that went wrong.
        """
        return self._send(_fleet.generate(model, prompt, **options))

    def generate_stream(
        self, model: str, prompt: str | None = None, **options: Unpack[GenerateOptions]
    ) -> AnswerStream:
        """Asks a model for an answer that is read while it is written; see ``generate``.

        The question is sent when the first piece is asked for. Leaving the loop ends the work.
        """
        answer = _fleet.Answer(self._core, _fleet.generate_stream(model, prompt, **options))
        return AnswerStream(self._deltas(answer), answer)

    def tokenize(self, model: str, text: str) -> list[int]:
        """A text as the tokens of a model."""
        return self._send(_fleet.tokenize(model, text))

    def detokenize(self, model: str, tokens: Iterable[SupportsIndex]) -> str:
        """Tokens of a model as a text."""
        return self._send(_fleet.detokenize(model, tokens))

    def predict(self, model: str, features: Series) -> Prediction:
        """Predicts numbers from numbers, with a model of an ONNX file.

        Args:
            model: Which model, by its name in ``models()``.
            features: One row of numbers, or a list of rows; an array of one or two dimensions will
                do. Each row is the flat input of the model, the last dimension fastest.

        Raises:
            NotFound: No worker offers the model.
            InvalidInput: The rows do not fit the model; says which, and what would.
            ServerError: The model gives no answer now.
            OpenAutoGLMError: Anything else that went wrong.
        """
        return self._send(_fleet.predict(model, features))

    def items(self, path: str, **params: Any) -> Iterator[Record]:
        """The items of any list of the server, page by page as they are asked for."""
        return self._items(Pages(path, params))

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> httpx.Response:
        """Sends any request, with the same key, retries and errors as the other methods.

        Requests that change something carry an Idempotency-Key, a fresh one unless given.
        """
        call = self._core.raw(method, path, json, params, headers, idempotency_key)
        return self._send(call)

    def _items(self, pages: Pages) -> Iterator[Record]:
        while (call := pages.next_call()) is not None:
            yield from self._send(call)

    def _deltas(self, answer: _fleet.Answer) -> Generator[Delta, None, None]:
        response = self._open(answer.call)
        lost = None
        try:
            answer.begin(response)
            for piece in response.iter_bytes():
                yield from answer.take(piece, response)
                if answer.end is not None:
                    break
        except httpx.RequestError as error:
            lost = error
        finally:
            response.close()
        answer.over(lost)

    def _send(self, call: Call[T]) -> T:
        return self._core.finish(call, self._try(call, stream=False))

    def _open(self, call: Call[httpx.Response]) -> httpx.Response:
        outcome = self._try(call, stream=True)
        if isinstance(outcome, httpx.Response) and not outcome.is_success:
            outcome = self._read(outcome)
        return self._core.finish(call, outcome)

    def _read(self, response: httpx.Response) -> Outcome:
        try:
            response.read()
        except httpx.RequestError as error:
            return error
        finally:
            response.close()
        return response

    def _try(self, call: Call[Any], *, stream: bool) -> Outcome:
        request = self._core.request(call)
        attempts = self._core.attempts(call)
        while True:
            outcome: Outcome
            try:
                outcome = self._http.send(request, stream=stream)
            except httpx.RequestError as error:
                outcome = error
            wait_s = attempts.wait_s(outcome)
            if wait_s is None:
                return outcome
            if stream and isinstance(outcome, httpx.Response):
                outcome.close()
            self._sleep(wait_s)
