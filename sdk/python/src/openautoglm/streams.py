"""Answers of models that are read while they are written, and what models can be told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal, SupportsIndex, TypedDict

from openautoglm.models import Delta, Ending

if TYPE_CHECKING:
    from openautoglm._fleet import Answer

__all__ = ["AnswerStream", "AsyncAnswerStream", "GenerateOptions", "Urgency"]


#: Of two requests the more urgent is begun first.
Urgency = Literal["critical", "interactive", "batch", "background"]


class GenerateOptions(TypedDict, total=False):
    """What may be said besides the prompt."""

    #: A conversation in place of a prompt, oldest first: ``role`` (``system``, ``user`` or
    #: ``assistant``) and ``content`` each.
    messages: Iterable[Mapping[str, str]] | None
    #: Most tokens of the answer; 1,024 when left out.
    max_tokens: SupportsIndex | None
    #: How freely tokens are drawn, 0 to 2; 0 takes the likeliest.
    temperature: float | None
    #: Only from the likeliest tokens that together have this probability, above 0 to 1.
    top_p: float | None
    #: Makes the draw repeatable.
    seed: SupportsIndex | None
    #: Texts at which the answer stops, at most 16.
    stop: Iterable[str]
    #: How urgent it is; ``interactive`` when left out. ``critical`` is for those who may operate
    #: nodes.
    urgency: Urgency
    #: Seconds to wait for each piece of the answer. A request may have to queue: 620 when left
    #: out, a little more than the server gives it unless it is configured otherwise.
    timeout: float


class AnswerStream:
    """The pieces of an answer, for one loop. Its connection is closed when the loop is left."""

    def __init__(self, deltas: Generator[Delta, None, None], answer: Answer) -> None:
        # Nothing but this object holds the generator: it ends, and the connection with it, as soon
        # as nobody holds this object.
        self._deltas = deltas
        self._answer = answer

    @property
    def end(self) -> Ending | None:
        """How the answer ended; None until it has."""
        return self._answer.end

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> Delta:
        return next(self._deltas)

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the work on the answer."""
        self._deltas.close()


class AsyncAnswerStream:
    """The same for asyncio."""

    def __init__(self, deltas: AsyncGenerator[Delta, None], answer: Answer) -> None:
        self._deltas = deltas
        self._answer = answer

    @property
    def end(self) -> Ending | None:
        """How the answer ended; None until it has."""
        return self._answer.end

    def __aiter__(self) -> AsyncAnswerStream:
        return self

    async def __anext__(self) -> Delta:
        return await anext(self._deltas)

    async def __aenter__(self) -> AsyncAnswerStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the work on the answer."""
        await self._deltas.aclose()

    #: The name that ``contextlib.aclosing`` looks for.
    aclose = close
