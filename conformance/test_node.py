"""Clients for Node, in a process of theirs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from conftest import MODEL, Site


def test_clients_for_node(site: Site) -> None:
    environment = {
        **os.environ,
        "OAG_BASE_URL": site.base_url,
        "OAG_KEY": site.key,
        "OAG_MODEL": MODEL,
    }
    tests = sorted(str(path) for path in Path("node").glob("*.test.mjs"))
    assert tests
    command = ["node", "--test", "--test-reporter=spec", *tests]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
