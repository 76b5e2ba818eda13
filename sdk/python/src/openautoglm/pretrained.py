"""A model of the fleet in the words of those who know models from transformers."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, SupportsIndex, overload

from openautoglm._core import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S
from openautoglm.client import AutoClient
from openautoglm.errors import InvalidInput, NotFound
from openautoglm.streams import GenerateOptions

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Unpack

__all__ = ["AutoGLMModel"]

_NOT_LOADED = "OAG-1302"
_NAMES_MAX = 20


class AutoGLMModel:
    """A model that a worker of the fleet runs; nothing of it is loaded here.

    Made by ``from_pretrained``. Threads may share it.
    """

    def __init__(self, name: str, client: AutoClient, *, owned: bool = False) -> None:
        self.name = name
        self._client = client
        self._owned = owned

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
        transport: httpx.BaseTransport | None = None,
        client: AutoClient | None = None,
    ) -> AutoGLMModel:
        """The model of this name, when the fleet offers it.

        Args:
            name: Which model, as workers name it.
            api_key: As for AutoClient, and so are base_url, timeout, retries and transport.
            base_url: Where the controller is.
            timeout: Seconds to wait for the controller; answers have their own patience.
            retries: How often a request is tried again.
            transport: Sends the requests in place of the usual one.
            client: A connection that is there already, in place of the five above. It is not
                closed with the model.

        Raises:
            NotFound: No worker offers it; says which models there are, and how to start a worker.
            OpenAutoGLMError: Anything else that went wrong.
        """
        owned = client is None
        used = client or AutoClient(api_key, base_url, timeout, retries, transport=transport)
        try:
            _check(name, used)
        except BaseException:
            if owned:
                used.close()
            raise
        return cls(name, used, owned=owned)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._client!r})"

    def __enter__(self) -> AutoGLMModel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections, unless they are those of a client that was handed in."""
        if self._owned:
            self._client.close()

    def tokenize(self, text: str) -> list[int]:
        """A text as tokens of the model.

        Raises:
            InvalidInput: What runs the model does not tell its tokens, as upstreams do not.
            OpenAutoGLMError: Anything else that went wrong.
        """
        try:
            return self._client.tokenize(self.name, text)
        except InvalidInput as error:
            refused = error
        raise self._explained(refused)

    def detokenize(self, tokens: Iterable[SupportsIndex]) -> str:
        """Tokens of the model as a text; errors as of ``tokenize``."""
        try:
            return self._client.detokenize(self.name, tokens)
        except InvalidInput as error:
            refused = error
        raise self._explained(refused)

    @overload
    def generate(
        self, inputs: str, max_length: int = 128, **options: Unpack[GenerateOptions]
    ) -> str: ...

    @overload
    def generate(
        self,
        inputs: Iterable[SupportsIndex],
        max_length: int = 128,
        **options: Unpack[GenerateOptions],
    ) -> list[int]: ...

    def generate(
        self,
        inputs: str | Iterable[SupportsIndex],
        max_length: int = 128,
        **options: Unpack[GenerateOptions],
    ) -> str | list[int]:
        """What the model writes after the inputs: text after text, tokens after tokens.

        Only what is new is returned. Models are asked in text: tokens are turned into text by the
        server, the answer is written, and then turned into tokens. These need not be the very
        tokens the model wrote, and marks such as the end of the text are not among them.

        Args:
            inputs: A text, or tokens.
            max_length: Most tokens of the answer; those of the inputs do not count.
            options: See GenerateOptions.

        Raises:
            InvalidInput: The inputs cannot be used, or are tokens and what runs the model does
                not tell its tokens.
            ServerError: The model gives no answer now.
            OpenAutoGLMError: Anything else that went wrong.
        """
        for taken, instead in (("max_tokens", "max_length"), ("messages", "inputs")):
            if taken in options:
                raise TypeError(f"{taken}: say it as {instead}")
        options["max_tokens"] = max_length
        if isinstance(inputs, str):
            return self._client.generate(self.name, inputs, **options).text
        prompt = self.detokenize(inputs)
        return self.tokenize(self._client.generate(self.name, prompt, **options).text)

    def _explained(self, error: InvalidInput) -> InvalidInput:
        # The server knows that no worker can; what people want of it is known here.
        if not any(field == "model" for field, _ in error.errors):
            return error
        return InvalidInput(
            error.status,
            code=error.code,
            title=error.title,
            detail=f"what runs {self.name!r} does not tell its tokens, as upstreams do not; "
            f"generate takes a text as well ({error.detail})",
            request_id=error.request_id,
            errors=error.errors,
        )


def _check(name: str, client: AutoClient) -> None:
    # What has no nodes runs in the controller, and is no language model.
    offered = [model.name for model in client.models() if model.nodes]
    if name in offered:
        return
    if offered:
        listed = ", ".join(repr(other) for other in offered[:_NAMES_MAX])
        more = len(offered) - _NAMES_MAX
        there = f"the fleet offers {listed}" + (f" and {more} more" if more > 0 else "")
    else:
        there = "the fleet offers no model yet"
    detail = (
        f"no worker offers {name!r}; {there}. Start a worker that does: "
        f"openautoglm worker --controller {client.base_url} --model {name} …, "
        "or the same as python -m openautoglm.worker …"
    )
    raise NotFound(404, code=_NOT_LOADED, detail=detail)
