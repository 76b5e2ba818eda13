"""Client of Open-AutoGLM, the autopilot for shops' services.

Owns the way from Python values to the HTTP API and back. Decides nothing itself: what to do, and
why, is the server's answer.
"""

from openautoglm._version import __version__
from openautoglm.client import AsyncAutoClient, AutoClient
from openautoglm.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    FieldError,
    InvalidInput,
    NotFound,
    OpenAutoGLMError,
    PermissionDenied,
    RateLimited,
    ServerError,
    Timeout,
    UnexpectedResponse,
)
from openautoglm.models import Analysis, Component, Evidence, Finding, Health, Plan, PlannedAction

__all__ = [
    "APIError",
    "Analysis",
    "AsyncAutoClient",
    "AuthenticationError",
    "AutoClient",
    "Component",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "Evidence",
    "FieldError",
    "Finding",
    "Health",
    "InvalidInput",
    "NotFound",
    "OpenAutoGLMError",
    "PermissionDenied",
    "Plan",
    "PlannedAction",
    "RateLimited",
    "ServerError",
    "Timeout",
    "UnexpectedResponse",
    "__version__",
]
