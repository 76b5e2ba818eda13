"""Against a controller and a worker of their own, started by this package's modules."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import MODEL, REFUSE, SLOWLY, WORKER, Fleet, running, started, until
from openautoglm import (
    AutoClient,
    AutoGLMModel,
    InvalidInput,
    Node,
    NotFound,
    ServerError,
)
from support import Client

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Fails where no binary is named: a run that skips everything would look like a good one."""
    if not os.environ.get("OPENAUTOGLM_BIN"):
        pytest.fail("set OPENAUTOGLM_BIN: these tests start the product", pytrace=False)
    folder = tmp_path_factory.mktemp("fleet")
    try:
        with running(folder) as fleet:
            yield fleet
    finally:
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-4_000:]}")  # pytest shows it


@pytest.fixture
def client(fleet: Fleet, kind: str) -> Iterator[Client]:
    with Client(kind, api_key=fleet.key, base_url=fleet.url, timeout=30) as client:
        yield client


def test_nodes_and_models_are_told(client: Client) -> None:
    (node,) = client.call("nodes")
    assert (node.name, node.role, node.groups) == (WORKER, "worker", ["live"])
    assert node.model_extra == {}
    assert [model.name for model in node.models] == [MODEL]
    assert node.models[0].model_extra == {}
    one = client.call("node", WORKER)
    assert isinstance(one, Node)
    assert one.joined_at == node.joined_at
    (model,) = [model for model in client.call("models") if model.nodes]
    assert (model.name, model.nodes, model.model_extra) == (MODEL, [WORKER], {})
    assert model.slots > 0
    assert model.window_tokens > 0


def test_an_answer_as_a_whole(client: Client, fleet: Fleet) -> None:
    answer = client.call("generate", MODEL, "once upon a time", max_tokens=3, temperature=0, seed=7)
    assert (answer.model, answer.text, answer.finish) == (MODEL, "ONCE UPON A ", "length")
    assert (answer.prompt_tokens, answer.answer_tokens) == (4, 3)
    assert answer.model_extra == {}
    asked = fleet.upstream.asked[-1]
    assert (asked["prompt"], asked["max_tokens"], asked["seed"]) == ("once upon a time", 3, 7)


def test_a_conversation(client: Client) -> None:
    said = [{"role": "system", "content": "short"}, {"role": "user", "content": "你好 a"}]
    answer = client.call("generate", MODEL, messages=said)
    assert (answer.text, answer.finish) == ("你好 A ", "stop")


def test_an_answer_in_pieces(client: Client) -> None:
    deltas = client.list("generate_stream", MODEL, "once upon a time", max_tokens=3)
    assert "".join(delta.text for delta in deltas) == "ONCE UPON A "
    assert len(deltas) > 1


def test_how_an_answer_in_pieces_ended(fleet: Fleet) -> None:
    with AutoClient(fleet.key, fleet.url) as client:
        stream = client.generate_stream(MODEL, "a b")
        assert "".join(delta.text for delta in stream) == "A B "
    assert stream.end is not None
    assert stream.end.model_extra == {}
    assert (stream.end.finish, stream.end.prompt_tokens, stream.end.answer_tokens) == ("stop", 2, 2)


def test_what_runs_is_told_and_leaving_ends_it(fleet: Fleet) -> None:
    fleet.upstream.left.clear()
    with AutoClient(fleet.key, fleet.url) as client:
        for delta in client.generate_stream(MODEL, f"{SLOWLY} now", max_tokens=2_000):
            assert delta.text
            (queue,) = client.queues(most=5)
            assert (queue.model, queue.busy, queue.model_extra) == (MODEL, 1, {})
            assert [(lease.node, lease.attempt) for lease in queue.running] == [(WORKER, 1)]
            break
        # Written to its end, it would take a hundred seconds.
        assert fleet.upstream.left.wait(20)
        end = time.monotonic() + 20
        while client.queues()[0].busy > 0:
            assert time.monotonic() < end, client.queues()
            time.sleep(0.05)


def test_a_model_in_the_words_of_transformers(fleet: Fleet) -> None:
    with AutoGLMModel.from_pretrained(MODEL, api_key=fleet.key, base_url=fleet.url) as model:
        assert model.generate("hello world", max_length=1) == "HELLO "
        # An upstream does not tell its tokens, and this is said.
        asks: list[Callable[[], Any]] = [
            lambda: model.tokenize("hello"),
            lambda: model.generate([1, 2]),
        ]
        for ask in asks:
            with pytest.raises(InvalidInput) as raised:
                ask()
            assert raised.value.code == "OAG-1001"
            assert "does not tell its tokens, as upstreams do not" in str(raised.value)


def test_a_model_that_nobody_offers(fleet: Fleet, client: Client) -> None:
    with pytest.raises(NotFound) as raised:
        AutoGLMModel.from_pretrained("glm-none", api_key=fleet.key, base_url=fleet.url)
    assert f"the fleet offers '{MODEL}'" in str(raised.value)
    assert f"worker --controller {fleet.url} --model glm-none" in str(raised.value)
    asks: list[Callable[[], Any]] = [
        lambda: client.call("generate", "glm-none", "x"),
        lambda: client.list("generate_stream", "glm-none", "x"),
        lambda: client.call("tokenize", "glm-none", "x"),
    ]
    for ask in asks:
        with pytest.raises(NotFound) as raised:
            ask()
        assert raised.value.code == "OAG-1302"


def test_what_is_wrong_is_named(client: Client) -> None:
    with pytest.raises(InvalidInput) as raised:
        client.call("generate", MODEL, "x", max_tokens=0)
    assert raised.value.errors[0].field == "max_tokens"
    with pytest.raises(InvalidInput) as raised:
        client.list("generate_stream", MODEL)
    assert raised.value.errors[0].field == "prompt"
    with pytest.raises(InvalidInput) as raised:
        client.call("detokenize", MODEL, [1])
    assert raised.value.errors[0].field == "model"
    with pytest.raises((InvalidInput, ServerError), match="no such words here"):
        client.list("generate_stream", MODEL, REFUSE)
    for what in ("cordon_node", "uncordon_node", "disconnect_node"):
        with pytest.raises(NotFound, match="no node 'nobody'"):
            client.call(what, "nobody", "a test")
    with pytest.raises(NotFound):
        client.call("node", "nobody")


def test_a_node_is_held_back_and_let_go(client: Client) -> None:
    assert client.call("cordon_node", WORKER, "a test").state == "cordoned"
    assert client.call("uncordon_node", WORKER, "the test is over").state == "ready"
    assert client.call("generate", MODEL, "a").text == "A "


def test_a_node_that_is_disconnected_comes_back(fleet: Fleet) -> None:
    assert fleet.worker is not None
    with AutoClient(fleet.key, fleet.url) as client:
        joined = client.node(WORKER).joined_at
        assert client.disconnect_node(WORKER, "a test").state == "lost"
        until(lambda: client.node(WORKER).joined_at != joined, fleet.worker, "the worker")
        assert client.generate(MODEL, "a").text == "A "


def test_a_worker_finishes_its_work_when_it_is_told_to_end(fleet: Fleet, tmp_path: Path) -> None:
    words = ["openautoglm.worker", f"--controller={fleet.url}", "--model=glm-second"]
    words += [f"--upstream={fleet.upstream.url}", "--node-id=worker-2"]
    with (
        AutoClient(fleet.key, fleet.url) as client,
        started(words, tmp_path / "worker.log") as worker,
    ):

        def both() -> bool:
            return sum(bool(model.nodes) for model in client.models()) == 2

        until(both, worker, "the second worker")
        texts: list[str] = []

        def ask() -> None:
            texts.append(client.generate("glm-second", SLOWLY, max_tokens=40).text)

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: client.node("worker-2").leases, worker, "the answer")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
        asking.join(30)
    assert texts == ["SLOWLY " * 40]


def test_wrong_words_are_the_binarys_to_refuse(fleet: Fleet) -> None:  # noqa: ARG001 - its binary
    command = [sys.executable, "-m", "openautoglm.worker", "--no-such-option"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2
    assert "--no-such-option" in ran.stderr
