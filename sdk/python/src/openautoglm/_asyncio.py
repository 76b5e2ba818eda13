"""The client for asyncio; see ``client``, which offers it."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Iterable,
    Mapping,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, SupportsIndex

import httpx

from openautoglm import _fleet
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
from openautoglm.streams import AsyncAnswerStream, GenerateOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["AsyncAutoClient"]


class AsyncAutoClient:
    """The same for asyncio; see AutoClient for parameters and errors."""

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._core = Core(api_key, base_url, timeout, retries)
        self._http = httpx.AsyncClient(transport=transport, **self._core.http_options())
        self._sleep = asyncio.sleep

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._core!r})"

    @property
    def base_url(self) -> str:
        """Where the server is."""
        return self._core.base_url

    async def __aenter__(self) -> AsyncAutoClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections. The client cannot be used afterwards."""
        await self._http.aclose()

    #: The name that ``contextlib.aclosing`` looks for.
    aclose = close

    async def analyze(
        self,
        metrics: Metrics,
        context: str | None = None,
        service: str | None = None,
        replicas: SupportsIndex | None = None,
        step_ms: SupportsIndex | None = None,
    ) -> Analysis:
        """See AutoClient.analyze."""
        return await self._send(self._core.analyze(metrics, context, service, replicas, step_ms))

    async def health(self) -> Health:
        """See AutoClient.health."""
        return await self._send(self._core.health())

    async def signals(self, signals: Iterable[Mapping[str, Any]]) -> Any:
        """See AutoClient.signals."""
        return await self._send(self._core.signals(signals))

    def plans(self, *, page_size: int | None = None, **filters: Any) -> AsyncIterator[Record]:
        """See AutoClient.plans; to be read with ``async for``."""
        return self.items("/api/v1/plans", page_size=page_size, **filters)

    async def plan(self, plan_id: str) -> Record:
        """See AutoClient.plan."""
        return await self._send(self._core.plan(plan_id))

    def stories(self, *, page_size: int | None = None, **filters: Any) -> AsyncIterator[Record]:
        """See AutoClient.stories; to be read with ``async for``."""
        return self.items("/api/v1/stories", page_size=page_size, **filters)

    async def nodes(self) -> list[Node]:
        """See AutoClient.nodes."""
        return await self._send(_fleet.nodes())

    async def node(self, name: str) -> Node:
        """See AutoClient.node."""
        return await self._send(_fleet.node(name))

    async def cordon_node(self, name: str, reason: str) -> Node:
        """See AutoClient.cordon_node."""
        return await self._send(_fleet.operate(self._core, name, "cordon", reason))

    async def uncordon_node(self, name: str, reason: str) -> Node:
        """See AutoClient.uncordon_node."""
        return await self._send(_fleet.operate(self._core, name, "uncordon", reason))

    async def disconnect_node(self, name: str, reason: str) -> Node:
        """See AutoClient.disconnect_node."""
        return await self._send(_fleet.operate(self._core, name, "disconnect", reason))

    async def node_groups(self) -> list[NodeGroup]:
        """See AutoClient.node_groups."""
        return await self._send(_fleet.node_groups())

    async def models(self) -> list[ModelInfo]:
        """See AutoClient.models."""
        return await self._send(_fleet.models())

    async def queues(self, most: SupportsIndex | None = None) -> list[Queue]:
        """See AutoClient.queues."""
        return await self._send(_fleet.queues(most))

    async def generate(
        self, model: str, prompt: str | None = None, **options: Unpack[GenerateOptions]
    ) -> Generation:
        """See AutoClient.generate."""
        return await self._send(_fleet.generate(model, prompt, **options))

    def generate_stream(
        self, model: str, prompt: str | None = None, **options: Unpack[GenerateOptions]
    ) -> AsyncAnswerStream:
        """See AutoClient.generate_stream; to be read with ``async for``."""
        answer = _fleet.Answer(self._core, _fleet.generate_stream(model, prompt, **options))
        return AsyncAnswerStream(self._deltas(answer), answer)

    async def tokenize(self, model: str, text: str) -> list[int]:
        """See AutoClient.tokenize."""
        return await self._send(_fleet.tokenize(model, text))

    async def detokenize(self, model: str, tokens: Iterable[SupportsIndex]) -> str:
        """See AutoClient.detokenize."""
        return await self._send(_fleet.detokenize(model, tokens))

    async def predict(self, model: str, features: Series) -> Prediction:
        """See AutoClient.predict."""
        return await self._send(_fleet.predict(model, features))

    def items(self, path: str, **params: Any) -> AsyncIterator[Record]:
        """See AutoClient.items; to be read with ``async for``."""
        return self._items(Pages(path, params))

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> httpx.Response:
        """See AutoClient.request."""
        call = self._core.raw(method, path, json, params, headers, idempotency_key)
        return await self._send(call)

    async def _items(self, pages: Pages) -> AsyncIterator[Record]:
        while (call := pages.next_call()) is not None:
            for item in await self._send(call):
                yield item

    async def _deltas(self, answer: _fleet.Answer) -> AsyncGenerator[Delta, None]:
        response = await self._open(answer.call)
        lost = None
        try:
            answer.begin(response)
            async for piece in response.aiter_bytes():
                for delta in answer.take(piece, response):
                    yield delta
                if answer.end is not None:
                    break
        except httpx.RequestError as error:
            lost = error
        finally:
            await response.aclose()
        answer.over(lost)

    async def _send(self, call: Call[T]) -> T:
        return self._core.finish(call, await self._try(call, stream=False))

    async def _open(self, call: Call[httpx.Response]) -> httpx.Response:
        outcome = await self._try(call, stream=True)
        if isinstance(outcome, httpx.Response) and not outcome.is_success:
            outcome = await self._read(outcome)
        return self._core.finish(call, outcome)

    async def _read(self, response: httpx.Response) -> Outcome:
        try:
            await response.aread()
        except httpx.RequestError as error:
            return error
        finally:
            await response.aclose()
        return response

    async def _try(self, call: Call[Any], *, stream: bool) -> Outcome:
        request = self._core.request(call)
        attempts = self._core.attempts(call)
        while True:
            outcome: Outcome
            try:
                outcome = await self._http.send(request, stream=stream)
            except httpx.RequestError as error:
                outcome = error
            wait_s = attempts.wait_s(outcome)
            if wait_s is None:
                return outcome
            if stream and isinstance(outcome, httpx.Response):
                await outcome.aclose()
            await self._sleep(wait_s)
