"""The `anthropic` package, as it is published."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from conftest import MODEL, Site

USER: Any = [{"role": "user", "content": "count"}]
TOOL: Any = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture
def client(site: Site) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=site.url, api_key=site.key, max_retries=0)


def test_a_conversation(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(
        model=MODEL, max_tokens=3, messages=USER, system="be brief", stop_sequences=["9"]
    )
    (block,) = answer.content
    assert block.type == "text"
    assert block.text == "0 1 2 "
    assert answer.stop_reason == "max_tokens"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 3)
    assert answer._request_id


def test_a_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=3, messages=USER) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "0 1 2 "
    assert final.stop_reason == "max_tokens"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (5, 3)


@pytest.mark.parametrize("stream", [False, True])
def test_a_call(client: anthropic.Anthropic, stream: bool) -> None:
    asked: Any = {
        "model": MODEL,
        "max_tokens": 50,
        "messages": USER,
        "tools": [TOOL],
        "tool_choice": {"type": "tool", "name": "weather"},
    }
    if stream:
        with client.messages.stream(**asked) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(**asked)
    (block,) = answer.content
    assert block.type == "tool_use"
    assert (block.name, block.input) == ("weather", {"city": "上海"})
    assert answer.stop_reason == "tool_use"
    # The call's answer goes back with its id.
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
    told: Any = [
        *USER,
        {"role": "assistant", "content": [block.model_dump(exclude_none=True)]},
        {"role": "user", "content": [result]},
    ]
    again = client.messages.create(model=MODEL, max_tokens=2, messages=told, tools=[TOOL])
    assert again.content[0].type == "text"
    assert again.content[0].text == "0 1 "


def test_a_form(client: anthropic.Anthropic) -> None:
    form: Any = {"format": {"type": "json_schema", "schema": TOOL["input_schema"]}}
    answer = client.messages.create(model=MODEL, max_tokens=50, messages=USER, output_config=form)
    assert answer.content[0].type == "text"
    assert json.loads(answer.content[0].text) == {"city": "上海", "count": 3}


def test_errors_are_those_that_the_client_knows(client: anthropic.Anthropic, site: Site) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="nobody", max_tokens=3, messages=USER)
    assert missing.value.request_id
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        client.messages.create(
            model=MODEL, max_tokens=3, messages=USER, extra_body={"temperature": 2}
        )
    stranger = anthropic.Anthropic(base_url=site.url, api_key="oag_no_no", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model=MODEL, max_tokens=3, messages=USER)
