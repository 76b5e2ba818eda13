"""Client of Open-AutoGLM, the autopilot for shops' services, and of its fleet of models.

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
from openautoglm.models import (
    Analysis,
    Component,
    Delta,
    Ending,
    Evidence,
    Finding,
    Generation,
    Health,
    Lease,
    ModelInfo,
    Node,
    NodeGroup,
    NodeModel,
    Plan,
    PlannedAction,
    Prediction,
    Queue,
    QueueLine,
)
from openautoglm.pretrained import AutoGLMModel
from openautoglm.streams import AnswerStream, AsyncAnswerStream, GenerateOptions

__all__ = [
    "APIError",
    "Analysis",
    "AnswerStream",
    "AsyncAnswerStream",
    "AsyncAutoClient",
    "AuthenticationError",
    "AutoClient",
    "AutoGLMModel",
    "Component",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "Delta",
    "Ending",
    "Evidence",
    "FieldError",
    "Finding",
    "GenerateOptions",
    "Generation",
    "Health",
    "InvalidInput",
    "Lease",
    "ModelInfo",
    "Node",
    "NodeGroup",
    "NodeModel",
    "NotFound",
    "OpenAutoGLMError",
    "PermissionDenied",
    "Plan",
    "PlannedAction",
    "Prediction",
    "Queue",
    "QueueLine",
    "RateLimited",
    "ServerError",
    "Timeout",
    "UnexpectedResponse",
    "__version__",
]
