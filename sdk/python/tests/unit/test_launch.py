"""The roles as modules, with a script in place of the binary."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openautoglm import _binary


def program(path: Path, text: str = 'echo "$0" "$@"; exit 7') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPENAUTOGLM_BIN": "", **variables}
    command = [sys.executable, "-W", "error", "-m", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=60
    )


@pytest.mark.parametrize(
    ("words", "handed"),
    [
        (["openautoglm.core", "--role=controller", "--port=8080"], "controller --port=8080"),
        (["openautoglm.core", "--port", "8080"], "controller --port 8080"),
        (["openglgm.core", "--role", "worker", "--model", "a b"], "worker --model a b"),
        (["openautoglm.core", "--help"], "controller --help"),
        (["openautoglm.worker", "--controller", "http://h", "--model=m"], None),
    ],
)
def test_words_and_exit_codes_pass_through(
    tmp_path: Path, words: list[str], handed: str | None
) -> None:
    binary = program(tmp_path / "oag")
    ran = run(*words, OPENAUTOGLM_BIN=str(binary))
    wanted = handed or "worker --controller http://h --model=m"
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, f"{binary} {wanted}\n", "")


def test_signals_reach_the_binary(tmp_path: Path) -> None:
    text = "trap 'exit 9' TERM; echo $$; while :; do sleep 0.05; done"
    binary = program(tmp_path / "oag", text)
    started = subprocess.Popen(
        [sys.executable, "-m", "openautoglm.core"],
        env={**os.environ, "OPENAUTOGLM_BIN": str(binary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with started:
        assert started.stdout is not None
        assert int(started.stdout.readline()) == started.pid
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 9


def test_an_unknown_role_is_wrong_usage() -> None:
    ran = run("openautoglm.core", "--role=shop")
    assert ran.returncode == 2
    assert "invalid choice: 'shop'" in ran.stderr


def test_it_is_looked_for_where_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, scripts, path = tmp_path / "package", tmp_path / "scripts", tmp_path / "path"
    monkeypatch.setattr(_binary, "__file__", str(package / "_binary.py"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(scripts))
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.delenv("OPENAUTOGLM_BIN", raising=False)
    assert _binary.find() is None
    for folder in (path, scripts, package / "bin"):
        binary = program(folder / "openautoglm")
        assert _binary.find() == binary
    monkeypatch.setenv("OPENAUTOGLM_BIN", str(program(tmp_path / "named")))
    assert _binary.find() == tmp_path / "named"


def test_a_binary_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(words: list[str]) -> str:
        with pytest.raises(SystemExit) as raised:
            _binary.become(words)
        assert raised.value.code == 2
        return capsys.readouterr().err

    broken: dict[str, Any] = {
        "absent": tmp_path / "absent",
        "folder": tmp_path,
        "not to be run": tmp_path / "text",
    }
    (tmp_path / "text").write_text("x")
    for path in broken.values():
        monkeypatch.setenv("OPENAUTOGLM_BIN", str(path))
        assert said(["worker"]) == f"error: OPENAUTOGLM_BIN names {path}, which is no program\n"
    (tmp_path / "text").chmod(0o755)
    assert said(["worker"]) == f"error: {tmp_path / 'text'} cannot be run: Exec format error\n"
    monkeypatch.setenv("OPENAUTOGLM_BIN", "")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert said(["worker"]).startswith(
        "error: the program openautoglm is not there: name it in OPENAUTOGLM_BIN, "
    )
