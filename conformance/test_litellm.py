"""`litellm`, as it is published."""

from __future__ import annotations

from typing import Any

import litellm
import pytest

from conftest import MODEL, Site

USER: Any = [{"role": "user", "content": "count"}]


def asked(site: Site, **more: Any) -> Any:
    address = {"api_base": site.base_url, "api_key": site.key}
    return litellm.completion(model=f"openai/{MODEL}", messages=USER, **address, **more)


def test_a_conversation(site: Site) -> None:
    answer = asked(site, max_tokens=3)
    assert answer.choices[0].message.content == "0 1 2 "
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 3)


def test_a_stream(site: Site) -> None:
    parts = list(asked(site, max_tokens=3, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == "0 1 2 "


def test_a_call(site: Site) -> None:
    function = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    choice = {"type": "function", "function": {"name": "weather"}}
    answer = asked(site, tools=tools, tool_choice=choice)
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "weather"


def test_vectors(site: Site) -> None:
    answer = litellm.embedding(
        model=f"openai/{MODEL}", input=["abc"], api_base=site.base_url, api_key=site.key
    )
    assert answer.data[0]["embedding"] == [3.0, 0.25]


def test_errors_are_those_that_the_client_knows(site: Site) -> None:
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        asked(site, temperature=9)
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(
            model=f"openai/{MODEL}", messages=USER, api_base=site.base_url, api_key="oag_no_no"
        )
