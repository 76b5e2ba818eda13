"""The `openai` package, as it is published."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from conftest import MODEL, Site, wait_until

USER: Any = [{"role": "user", "content": "count"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


class Stock(BaseModel):
    city: str
    count: int


@pytest.fixture
def client(site: Site) -> OpenAI:
    return OpenAI(base_url=site.base_url, api_key=site.key, max_retries=0)


def test_a_conversation(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=USER, max_tokens=3)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "0 1 2 ")
    assert choice.finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 3)
    assert (answer.object, answer.model) == ("chat.completion", MODEL)
    assert answer._request_id


def test_a_stream(client: OpenAI) -> None:
    parts = list(
        client.chat.completions.create(
            model=MODEL,
            messages=USER,
            max_tokens=4,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert parts[0].choices[0].delta.role == "assistant"
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == "0 1 2 3 "
    assert [part.choices[0].finish_reason for part in parts if part.choices][-1] == "length"
    assert parts[-1].usage is not None
    assert parts[-1].usage.total_tokens == 9
    assert all(part.usage is None for part in parts[:-1])
    plain = client.chat.completions.create(model=MODEL, messages=USER, max_tokens=1, stream=True)
    assert all(part.usage is None for part in plain)


def test_the_helper_for_streams(client: OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=USER, stop=["3"]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in kinds
    assert "content.done" in kinds
    assert final.choices[0].message.content == "0 1 2 "


@pytest.mark.parametrize("stream", [False, True])
def test_a_call(client: OpenAI, stream: bool) -> None:
    choice: Any = {"type": "function", "function": {"name": "weather"}}
    asked: Any = {"model": MODEL, "messages": USER, "tools": [TOOL], "tool_choice": choice}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            answer = events.get_final_completion()
    else:
        answer = client.chat.completions.create(**asked)
    message = answer.choices[0].message
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather",
        {"city": "上海"},
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    # The call's answer goes back with its id.
    told: Any = [*USER, message.model_dump(exclude_none=True)]
    told.append({"role": "tool", "tool_call_id": call.id, "content": "rain"})
    again = client.chat.completions.create(model=MODEL, messages=told, tools=[TOOL], max_tokens=2)
    assert again.choices[0].message.content == "0 1 "


def test_a_form(client: OpenAI) -> None:
    answer = client.chat.completions.parse(model=MODEL, messages=USER, response_format=Stock)
    assert answer.choices[0].message.parsed == Stock(city="上海", count=3)


def test_several_answers_probabilities_and_stops(client: OpenAI, site: Site) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=USER,
        n=3,
        seed=7,
        logprobs=True,
        top_logprobs=1,
        stop=["4"],
        temperature=0.5,
        top_p=0.5,
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"0 1 2 3 "}
    shown = answer.choices[0].logprobs
    assert shown is not None
    assert shown.content is not None
    assert [token.token for token in shown.content] == ["0 ", "1 ", "2 ", "3 "]
    assert shown.content[0].top_logprobs[0].logprob == -0.5
    seeds = {asked["seed"] for asked in site.upstream.asked[-3:]}
    assert seeds == {7, 8, 9}


def test_plain_text(client: OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=["a", "b"], max_tokens=2)
    assert [choice.text for choice in answer.choices] == ["0 1 ", "0 1 "]
    parts = list(client.completions.create(model=MODEL, prompt="a", max_tokens=2, stream=True))
    assert "".join(part.choices[0].text for part in parts) == "0 1 "


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_vectors(client: OpenAI, form: Literal["float", "base64"] | None) -> None:
    more: Any = {} if form is None else {"encoding_format": form}
    answer = client.embeddings.create(model=MODEL, input=["abc", "d"], **more)
    if form == "base64":
        assert all(isinstance(one.embedding, str) for one in answer.data)
        return
    # Without a form the client asks for base 64, and unpacks it.
    assert [one.embedding for one in answer.data] == [[3.0, 0.25], [1.0, 0.25]]


def test_models(client: OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {MODEL, "autoglm-rules"} <= names
    assert client.models.retrieve(MODEL).id == MODEL


def test_errors_are_those_that_the_client_knows(client: OpenAI, site: Site) -> None:
    chat = client.chat.completions
    with pytest.raises(openai.NotFoundError) as missing:
        chat.create(model="nobody", messages=USER)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert missing.value.request_id
    with pytest.raises(openai.BadRequestError) as wrong:
        chat.create(model=MODEL, messages=USER, temperature=9)
    assert (wrong.value.code, wrong.value.param) == ("invalid_value", "temperature")
    assert wrong.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as unknown:
        chat.create(model=MODEL, messages=USER, extra_body={"colour": 1})
    assert unknown.value.code == "unknown_parameter"
    stranger = OpenAI(base_url=site.base_url, api_key="oag_nobody_nothing", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as nobody:
        stranger.models.list()
    assert nobody.value.code == "invalid_api_key"


def test_who_leaves_ends_the_work(client: OpenAI, site: Site) -> None:
    slow: Any = [{"role": "user", "content": "count slowly"}]
    stream = client.chat.completions.create(model=MODEL, messages=slow, stream=True)
    assert next(iter(stream)) is not None
    wait_until("the upstream is asked", lambda: site.upstream.open == 1)
    stream.close()
    wait_until("the upstream is left", lambda: site.upstream.open == 0)


def test_many_at_once(site: Site) -> None:
    async def all_of_them() -> list[str | None]:
        async with AsyncOpenAI(base_url=site.base_url, api_key=site.key) as client:

            async def one(count: int) -> str | None:
                answer = await client.chat.completions.create(
                    model=MODEL, messages=USER, max_tokens=count
                )
                return answer.choices[0].message.content

            return await asyncio.gather(*(one(count) for count in range(1, 31)))

    wanted = ["".join(f"{number} " for number in range(count)) for count in range(1, 31)]
    assert asyncio.run(all_of_them()) == wanted
