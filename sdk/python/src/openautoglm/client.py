"""The clients, one for threads and one for asyncio. What they do is in ``_core``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, SupportsIndex

import httpx

from openautoglm._core import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S, Call, Core, Pages, Record, T
from openautoglm._retry import Outcome
from openautoglm._values import Metrics
from openautoglm.models import Analysis, Health

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

    def _send(self, call: Call[T]) -> T:
        request = self._core.request(call)
        attempts = self._core.attempts(call)
        while True:
            outcome: Outcome
            try:
                outcome = self._http.send(request)
            except httpx.RequestError as error:
                outcome = error
            wait_s = attempts.wait_s(outcome)
            if wait_s is None:
                return self._core.finish(call, outcome)
            self._sleep(wait_s)


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

    async def _send(self, call: Call[T]) -> T:
        request = self._core.request(call)
        attempts = self._core.attempts(call)
        while True:
            outcome: Outcome
            try:
                outcome = await self._http.send(request)
            except httpx.RequestError as error:
                outcome = error
            wait_s = attempts.wait_s(outcome)
            if wait_s is None:
                return self._core.finish(call, outcome)
            await self._sleep(wait_s)
