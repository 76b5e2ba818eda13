"""Clients against a model of a file: what its answers say is random, their form is not."""

from __future__ import annotations

import json
from typing import Any, Literal

import anthropic
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from conftest import MODEL, Site

USER: Any = [{"role": "user", "content": "count"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "move",
        "parameters": {
            "type": "object",
            "properties": {"way": {"enum": ["up", "down"]}},
            "required": ["way"],
            "additionalProperties": False,
        },
    },
}


class Step(BaseModel):
    way: Literal["up", "down"]
    count: int


@pytest.fixture
def client(local_site: Site) -> OpenAI:
    return OpenAI(base_url=local_site.base_url, api_key=local_site.key, max_retries=0)


def test_a_stream_says_what_the_whole_says(client: OpenAI) -> None:
    asked: Any = {"model": MODEL, "messages": USER, "max_tokens": 40, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    parts = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == whole.choices[0].message.content
    assert parts[-1].usage is not None
    assert whole.usage is not None
    told = (parts[-1].usage.prompt_tokens, parts[-1].usage.completion_tokens)
    assert told == (whole.usage.prompt_tokens, whole.usage.completion_tokens)
    assert 1 <= whole.usage.completion_tokens <= 40


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "move"}}])
def test_a_call_that_must_be(client: OpenAI, choice: Any) -> None:
    for seed in range(3):
        answer = client.chat.completions.create(
            model=MODEL, messages=USER, tools=[TOOL], tool_choice=choice, seed=seed
        )
        calls = answer.choices[0].message.tool_calls
        assert calls is not None
        assert calls[0].type == "function"
        assert json.loads(calls[0].function.arguments)["way"] in ("up", "down")
        assert answer.choices[0].finish_reason == "tool_calls"


def test_a_call_in_anthropics_words(local_site: Site) -> None:
    client = anthropic.Anthropic(base_url=local_site.url, api_key=local_site.key, max_retries=0)
    tool: Any = {"name": "move", "input_schema": TOOL["function"]["parameters"]}
    with client.messages.stream(
        model=MODEL, max_tokens=200, messages=USER, tools=[tool], tool_choice={"type": "any"}
    ) as stream:
        answer = stream.get_final_message()
    (block,) = answer.content
    assert block.type == "tool_use"
    assert block.input["way"] in ("up", "down")


def test_a_form(client: OpenAI) -> None:
    answer = client.chat.completions.parse(model=MODEL, messages=USER, response_format=Step)
    assert answer.choices[0].message.parsed is not None


def test_probabilities_and_several_answers(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=USER, max_tokens=5, n=2, seed=3, logprobs=True, top_logprobs=2
    )
    assert answer.usage is not None
    shown = [choice.logprobs.content or [] for choice in answer.choices if choice.logprobs]
    assert sum(len(tokens) for tokens in shown) >= 2
    assert all(len(token.top_logprobs) == 2 for tokens in shown for token in tokens)


def test_text_of_tokens(client: OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt=[70, 71, 72], max_tokens=4, temperature=0
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 4


def test_what_the_model_cannot_do_is_said(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="embeddings"):
        client.embeddings.create(model=MODEL, input="x")
    with pytest.raises(openai.BadRequestError, match="2048") as long:
        client.completions.create(model=MODEL, prompt="a b " * 5_000)
    assert long.value.param == "prompt"
