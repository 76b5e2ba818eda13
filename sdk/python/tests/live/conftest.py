"""What the tests against a running server share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from openautoglm import AutoClient
from support import Client


@pytest.fixture(scope="session")
def live() -> None:
    """Fails where no server is named: a run that skips everything would look like a good one."""
    missing = [
        name for name in ("OPENAUTOGLM_URL", "OPENAUTOGLM_API_KEY") if not os.environ.get(name)
    ]
    if missing:
        pytest.fail(
            f"set {' and '.join(missing)}: these tests need a running server", pytrace=False
        )


@pytest.fixture
def client(live: None, kind: str) -> Iterator[Client]:  # noqa: ARG001 - order
    with Client(kind, api_key=None, timeout=30) as client:
        yield client


@pytest.fixture
def once(live: None) -> Iterator[AutoClient]:  # noqa: ARG001 - order
    """Tries nothing twice, so that no failure of the server stays unseen."""
    with AutoClient(timeout=30, retries=0) as client:
        yield client
