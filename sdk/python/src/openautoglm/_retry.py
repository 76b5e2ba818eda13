"""When a request is tried again, and after which time."""

from __future__ import annotations

import logging
import random
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx

_log = logging.getLogger("openautoglm")

_STATUSES = frozenset({429, 502, 503, 504})
_BACKOFF_S = 0.25
_BACKOFF_MAX_S = 8.0
#: A server that asks for a longer wait gets no further try; the caller is told instead.
RETRY_AFTER_MAX_S = 30.0

# Read and write timeouts are left out: the server may be busy with the request, and a slow server
# does not become faster by being asked twice.
_LOST = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ReadError,
    httpx.WriteError,
    httpx.CloseError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
)

Outcome = httpx.Response | httpx.RequestError


class Attempts:
    """The tries of one request."""

    def __init__(self, retries: int, answers: frozenset[int] = frozenset()) -> None:
        self._left = retries
        self._transient = _STATUSES - answers
        self._made = 0

    def wait_s(self, outcome: Outcome) -> float | None:
        """How long to wait before the next try; None when this outcome stands."""
        if self._left <= 0 or not self._may_pass(outcome):
            return None
        asked = retry_after_s(outcome) if isinstance(outcome, httpx.Response) else None
        if asked is not None and asked > RETRY_AFTER_MAX_S:
            return None
        self._left -= 1
        self._made += 1
        ceiling = min(_BACKOFF_MAX_S, _BACKOFF_S * 2.0**self._made)
        # Jitter keeps clients apart that failed together; never earlier than the server asked.
        jitter = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - no secret
        wait = jitter if asked is None else asked + min(jitter, asked / 10)
        facts = {"try": self._made, "wait_s": round(wait, 3), "after": _name(outcome)}
        _log.debug("request is tried again", extra=facts)
        return wait

    def _may_pass(self, outcome: Outcome) -> bool:
        if isinstance(outcome, httpx.Response):
            return outcome.status_code in self._transient
        return isinstance(outcome, _LOST)


def retry_after_s(response: httpx.Response) -> float | None:
    """The header Retry-After in seconds from now; None when absent or unreadable."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), 1e9)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())


def _name(outcome: Outcome) -> str:
    if isinstance(outcome, httpx.Response):
        return str(outcome.status_code)
    return type(outcome).__name__
