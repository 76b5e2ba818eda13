from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from openautoglm import AutoClient, AutoGLMModel, InvalidInput, NotFound, ServerError
from support import KEY, problem

MODEL = {"name": "glm", "nodes": ["w1"], "slots": 8, "busy": 0, "waiting": 0, "window_tokens": 64}


class Fleet:
    """Models whose tokens are the code points of texts, and which answer in capitals."""

    def __init__(self, *names: str, tokens: bool = True) -> None:
        self.names = names
        self.tokens = tokens
        self.asked: list[tuple[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        what = request.url.path.rpartition("/")[2]
        body = json.loads(request.content or b"null")
        self.asked.append((what, body))
        if what == "models":
            return httpx.Response(200, json={"items": [{**MODEL, "name": n} for n in self.names]})
        if what == "generate":
            text = body["prompt"].upper()[: body["max_tokens"]]
            answer = {"model": "glm", "text": text, "reasoning": "", "finish": "stop"}
            return httpx.Response(200, json=answer)
        if not self.tokens:
            wrong = [{"field": "model", "message": "nobody can"}]
            return problem(400, code="OAG-1001", detail="model: nobody can", errors=wrong)
        if what == "tokenize":
            return httpx.Response(200, json={"tokens": [ord(c) for c in body["text"]]})
        return httpx.Response(200, json={"text": "".join(map(chr, body["tokens"]))})


def load(name: str, fleet: Fleet) -> AutoGLMModel:
    transport = httpx.MockTransport(fleet)
    return AutoGLMModel.from_pretrained(
        name, api_key=KEY, base_url="http://oag.example:8080", transport=transport
    )


def test_as_people_know_it() -> None:
    fleet = Fleet("other", "glm")
    with load("glm", fleet) as model:
        inputs = model.tokenize("hello")
        outputs = model.generate(inputs, max_length=128)
        assert (inputs, model.detokenize(outputs)) == ([104, 101, 108, 108, 111], "HELLO")
    assert [what for what, _ in fleet.asked] == [
        "models",
        "tokenize",
        *("detokenize", "generate", "tokenize"),
        "detokenize",
    ]
    assert fleet.asked[3][1] == {"prompt": "hello", "max_tokens": 128}


def test_text_gives_text_even_where_tokens_are_not_told() -> None:
    fleet = Fleet("glm", tokens=False)
    with load("glm", fleet) as model:
        assert model.generate("hello", max_length=3, temperature=0, seed=1) == "HEL"
        assert fleet.asked[-1][1] == {
            "prompt": "hello",
            "max_tokens": 3,
            "temperature": 0,
            "seed": 1,
        }
        for ask in (
            lambda: model.tokenize("x"),
            lambda: model.detokenize([1]),
            lambda: model.generate([1]),
        ):
            with pytest.raises(InvalidInput) as raised:
                ask()
            said = "what runs 'glm' does not tell its tokens, as upstreams do not; "
            said += "generate takes a text as well (model: nobody can)"
            assert raised.value.detail == said
            assert raised.value.errors[0].field == "model"
        with pytest.raises(TypeError, match="max_tokens: say it as max_length"):
            model.generate("x", max_tokens=3)


@pytest.mark.parametrize(
    ("names", "there"),
    [
        ((), "the fleet offers no model yet"),
        (("a", "b"), "the fleet offers 'a', 'b'"),
        (tuple(f"m{at}" for at in range(23)), "'m19' and 3 more"),
    ],
)
def test_a_model_nobody_offers(names: tuple[str, ...], there: str) -> None:
    with pytest.raises(NotFound) as raised:
        load("glm", Fleet(*names))
    said = str(raised.value)
    assert said.startswith("404 OAG-1302: no worker offers 'glm'; ")
    assert f"{there}. Start a worker" in said
    assert "openautoglm worker --controller http://oag.example:8080 --model glm " in said


def test_connections_are_closed_by_who_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[AutoClient] = []
    monkeypatch.setattr(AutoClient, "close", lambda client: closed.append(client))
    transport = httpx.MockTransport(Fleet("glm"))
    client = AutoClient(KEY, transport=transport)
    with AutoGLMModel.from_pretrained("glm", client=client) as model:
        assert KEY not in repr(model)
    with pytest.raises(NotFound):
        AutoGLMModel.from_pretrained("x", client=client)
    assert closed == []
    load("glm", Fleet("glm")).close()
    assert len(closed) == 1
    with pytest.raises(NotFound):
        load("x", Fleet("glm"))
    assert len(closed) == 2


def test_it_is_found_as_the_client_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAUTOGLM_URL", "http://from.example")
    monkeypatch.setenv("OPENAUTOGLM_API_KEY", "from-environment")
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return problem(500, detail="why")

    with pytest.raises(ServerError, match="500: why"):
        AutoGLMModel.from_pretrained("glm", transport=httpx.MockTransport(handler))
    assert str(seen[0].url) == "http://from.example/api/v1/models"
    assert seen[0].headers["authorization"] == "Bearer from-environment"
