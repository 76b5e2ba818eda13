"""openglgm is openautoglm; each in a fresh process, where no earlier import hides a mistake."""

from __future__ import annotations

import subprocess
import sys

import pytest

import openautoglm


def run(*arguments: str) -> str:
    command = [sys.executable, "-W", "error", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import openglgm, openautoglm; assert openglgm is openautoglm",
        "import openautoglm, openglgm; assert openglgm is openautoglm",
        "from openglgm import AutoClient as a; import openautoglm as o; assert a is o.AutoClient",
        "import openglgm.errors as a, openautoglm.errors as b; assert a is b",
        "from openglgm.errors import Timeout as a; import openautoglm as o; assert a is o.Timeout",
        "from openglgm import models as a; import openautoglm.models as b; assert a is b",
        "import openglgm.client, openautoglm, sys; assert openglgm.client is openautoglm.client",
        "import openglgm.models as m; assert m.__name__ == m.__spec__.name == 'openautoglm.models'",
        "import openglgm.models as m, importlib; assert importlib.reload(m) is m",
        "import importlib as i; a = i.import_module('openglgm.models');"
        " assert a is i.import_module('openautoglm.models')",
        "import pickle, openglgm.errors as e; x = pickle.loads(pickle.dumps(e.NotFound(404)));"
        " assert type(x) is e.NotFound",
        "import openglgm\ntry:\n import openglgm.nothing\nexcept ModuleNotFoundError: pass\n"
        "else: raise SystemExit(1)",
        "import openglgm, inspect; assert 'class AutoClient' in inspect.getsource(openglgm.client)",
        "import openglgm, sys; sys.modules.pop('openglgm'); import openglgm as again;"
        " assert again is openglgm",
    ],
)
def test_both_names_mean_the_same(code: str) -> None:
    run("-c", code)


@pytest.mark.parametrize("name", ["openautoglm", "openglgm"])
def test_the_module_says_what_it_is(name: str) -> None:
    said = run("-m", name)
    assert said.startswith(f"openautoglm {openautoglm.__version__},")
    assert "OPENAUTOGLM_API_KEY" in said


def test_everything_public_is_there() -> None:
    for name in openautoglm.__all__:
        assert getattr(openautoglm, name) is not None
