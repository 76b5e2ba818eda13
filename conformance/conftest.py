"""The product, its worker and its upstream, as processes of this run."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from upstream import Upstream

#: How long anything may take before it counts as broken, not slow.
PATIENCE_S = 60.0
MODEL = "glm-4-plus"


@dataclass(frozen=True)
class Site:
    """What clients are pointed at."""

    url: str
    key: str
    upstream: Upstream

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"


def wait_until(what: str, so: Callable[[], Any]) -> Any:
    """Waits until something is so."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = so()
        if found:
            return found
        assert time.monotonic() < end, f"not so: {what}"
        time.sleep(0.05)


@contextmanager
def running(home: Path, upstream: Upstream, *worker: str) -> Iterator[Site]:
    """The product and a worker that was started with these options."""
    binary = os.environ["OPENAUTOGLM_BIN"]
    environment = {**os.environ, "XDG_STATE_HOME": str(home / "state")}
    data = home / "data"
    processes: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> None:
        with (home / f"log-{len(processes)}").open("wb") as log:
            command = [binary, *words]
            processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))

    try:
        start("up", "--data", str(data), "--port", "0")
        found = data / "run.json"
        wait_until("the product runs", lambda: found.exists() and found.read_text())
        url = "http://" + json.loads(found.read_text())["address"].removeprefix("http://")
        key = (data / "admin.key").read_text().strip()
        start("worker", "--controller", url, "--model", MODEL, *worker)
        headers = {"authorization": f"Bearer {key}"}

        def ready() -> bool:
            assert all(process.poll() is None for process in processes), said(home)
            answer = httpx.get(f"{url}/v1/models/{MODEL}", headers=headers)
            return answer.status_code == 200

        wait_until("the worker is there", ready)
        yield Site(url, key, upstream)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(PATIENCE_S)


def said(home: Path) -> str:
    """What the processes said."""
    return "\n".join(path.read_text() for path in sorted(home.glob("log-*")))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker with an upstream."""
    upstream = Upstream()
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    home = tmp_path_factory.mktemp("site")
    with running(home, upstream, "--upstream", upstream.url, "--slots", "32") as site:
        yield site
    upstream.shutdown()


@pytest.fixture(scope="session")
def local_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker with a GGUF file: a tiny model whose weights are random."""
    model = Path(__file__).parent.parent / "adapters/engine/tests/data/qwen3.gguf"
    home = tmp_path_factory.mktemp("local")
    options = ("--gguf", str(model), "--max-tokens", "2048", "--memory", "f32", "--threads", "1")
    with running(home, Upstream(), *options) as site:
        yield site
