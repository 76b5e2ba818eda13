"""The product, its worker and its upstream, as processes of this run."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    binary = os.environ["OPENAUTOGLM_BIN"]
    home = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "XDG_STATE_HOME": str(home / "state")}
    upstream = Upstream()
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    data = home / "data"
    processes: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> None:
        log = (home / f"log-{len(processes)}").open("wb")
        command = [binary, *words]
        processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))

    try:
        start("up", "--data", str(data), "--port", "0")
        running = data / "run.json"
        wait_until("the product runs", lambda: running.exists() and running.read_text())
        url = "http://" + json.loads(running.read_text())["address"].removeprefix("http://")
        key = (data / "admin.key").read_text().strip()
        start(
            "worker",
            "--controller",
            url,
            "--model",
            MODEL,
            "--upstream",
            upstream.url,
            "--slots",
            "32",
        )
        headers = {"authorization": f"Bearer {key}"}

        def ready() -> bool:
            answer = httpx.get(f"{url}/v1/models/{MODEL}", headers=headers)
            return answer.status_code == 200

        wait_until("the worker is there", ready)
        yield Site(url, key, upstream)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(PATIENCE_S)
        upstream.shutdown()
