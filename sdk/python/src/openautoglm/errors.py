"""What can go wrong, one class per decision a caller can make."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = [
    "APIError",
    "AuthenticationError",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "FieldError",
    "InvalidInput",
    "NotFound",
    "OpenAutoGLMError",
    "PermissionDenied",
    "RateLimited",
    "ServerError",
    "Timeout",
    "UnexpectedResponse",
]


class OpenAutoGLMError(Exception):
    """Everything this package raises on purpose, wrong argument types and values aside."""


class ConfigurationError(OpenAutoGLMError, ValueError):
    """The client cannot be made: a setting is missing or has no meaning."""


class ConnectionFailed(OpenAutoGLMError):
    """The server could not be reached, or the connection was lost before its answer."""


class Timeout(OpenAutoGLMError):
    """The server did not answer in time; whether it did the work is not known."""


class UnexpectedResponse(OpenAutoGLMError):
    """The answer is not what this API sends. Often base_url leads to something else."""


class FieldError(NamedTuple):
    """One field the server refused."""

    field: str
    message: str


class APIError(OpenAutoGLMError):
    """The server answered with an error."""

    def __init__(
        self,
        status: int,
        *,
        code: str | None = None,
        title: str | None = None,
        detail: str | None = None,
        request_id: str | None = None,
        errors: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        #: The code in the server's catalogue, ``OAG-nnnn``; None when the answer carries none.
        self.code = code
        self.title = title
        self.detail = detail
        #: The id to look for in the server's logs.
        self.request_id = request_id
        self.errors = errors
        #: Seconds after which another try makes sense, where the server said so.
        self.retry_after = retry_after
        super().__init__(self._message())

    def _message(self) -> str:
        text = " ".join(str(part) for part in (self.status, self.code) if part is not None)
        text = f"{text}: {self.detail or self.title or 'no detail given'}"
        # The detail often is the first field error already.
        for error in self.errors:
            line = f"{error.field}: {error.message}"
            if line not in text:
                text += f"; {line}"
        return f"{text} [{self.request_id}]" if self.request_id else text

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with the message, which is not its first parameter.
        return _restore, (type(self), self.status, self.args, self.__dict__.copy())


class InvalidInput(APIError):
    """The server refuses the input; ``errors`` names the fields. Sending it again is no use."""


class AuthenticationError(APIError):
    """No, unknown, expired or revoked credentials."""


class PermissionDenied(APIError):
    """The key is good, but its roles or the guard do not allow this."""


class NotFound(APIError):
    """Nothing by this name."""


class Conflict(APIError):
    """The present state does not allow this."""


class RateLimited(APIError):
    """Too much at once; ``retry_after`` says when to come back."""


class ServerError(APIError):
    """The server failed or is not available."""


_BY_STATUS: dict[int, type[APIError]] = {
    400: InvalidInput,
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    413: InvalidInput,
    422: InvalidInput,
    429: RateLimited,
}


def class_of(status: int) -> type[APIError]:
    """The class for a status."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else APIError)


def _restore(
    cls: type[APIError], status: int, args: tuple[Any, ...], state: dict[str, Any]
) -> APIError:
    error = cls.__new__(cls, status)
    error.args = args
    error.__dict__.update(state)
    return error
