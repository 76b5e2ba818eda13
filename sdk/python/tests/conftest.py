from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from support import Server, serving

# On a busy machine slowness is no finding, and nothing is to be left behind in the clone.
settings.register_profile(
    "package",
    database=None,
    deadline=None,
    max_examples=150,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("package")


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which client: what holds for one holds for the other."""
    return str(request.param)


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serving()
