"""The `openai` package and its Responses API."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from conftest import MODEL, Site

TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


class Stock(BaseModel):
    city: str
    count: int


@pytest.fixture
def client(site: Site) -> OpenAI:
    return OpenAI(base_url=site.base_url, api_key=site.key, max_retries=0)


def test_an_answer(client: OpenAI) -> None:
    answer = client.responses.create(model=MODEL, input="count", max_output_tokens=3)
    assert answer.output_text == "0 1 2 "
    assert answer.status == "incomplete"
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 3)


def test_a_stream(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="count") as stream:
        text = "".join(
            event.delta for event in stream if event.type == "response.output_text.delta"
        )
        final = stream.get_final_response()
    assert text == final.output_text
    assert text.startswith("0 1 2 ")
    assert final.status == "completed"


@pytest.mark.parametrize("stream", [False, True])
def test_a_call(client: OpenAI, stream: bool) -> None:
    choice: Any = {"type": "function", "name": "weather"}
    asked: Any = {"model": MODEL, "input": "count", "tools": [TOOL], "tool_choice": choice}
    if stream:
        with client.responses.stream(**asked) as events:
            answer = events.get_final_response()
    else:
        answer = client.responses.create(**asked)
    (call,) = answer.output
    assert call.type == "function_call"
    assert call.name == "weather"
    assert json.loads(call.arguments) == {"city": "上海"}
    # The call and what came of it go back together.
    told: Any = [{"role": "user", "content": "count"}, call.model_dump(exclude_none=True)]
    told.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
    again = client.responses.create(model=MODEL, input=told, max_output_tokens=2)
    assert again.output_text == "0 1 "


def test_a_form(client: OpenAI) -> None:
    answer = client.responses.parse(model=MODEL, input="stock?", text_format=Stock)
    assert answer.output_parsed == Stock(city="上海", count=3)


def test_what_is_not_kept_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input="x", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"
